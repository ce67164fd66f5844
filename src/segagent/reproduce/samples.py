"""The objects that the tables speak of: one sentence, drawn at random, of each scene."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from segagent.core import Image
from segagent.datasets import ScenesDataset
from segagent.environment import Target


@dataclass(frozen=True, eq=False)
class MiniSample:
    """One sentence about one generated scene, with what only the environment may know: the ``target``."""

    sample_id: str
    image_name: str
    image: Image
    text: str
    target: Target


@lru_cache(maxsize=256)
def sample_of(dataset: str, index: int) -> MiniSample | None:
    """The sample of scene ``index`` of ``dataset`` (``scenes:...``); None where nothing can be said about a scene.

    Which of the scene's sentences it is depends on ``index`` alone.
    """
    group = next(g for n, g in enumerate(ScenesDataset.from_spec(dataset).groups()) if n == index)
    samples = group.samples()
    if not samples:
        return None
    chosen = samples[int(np.random.default_rng([0x3E7, index]).integers(len(samples)))]
    return MiniSample(chosen.sample_id, chosen.image_name, chosen.image, chosen.text, Target(chosen.load_target()[0]))
