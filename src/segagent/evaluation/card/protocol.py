"""What the benchmark plays: fixed, so that cards can be compared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from segagent.core import InputError
from segagent.datasets import Dataset, open_dataset
from segagent.datasets.faults import DEGRADING_VERSION, HIGHEST_IOU, LOWEST_IOU
from segagent.evaluation.protocols import EvaluationConfig
from segagent.search import SearchConfig

PROTOCOL = "hlmat/1"
"""Goes up when the same settings give other figures."""

TOLERANCE = 0.01
"""A state is as good as the best one if its IoU is at most this much lower."""

SCENES = "scenes:{num}:split=test,seed=1,complexity=mixed,size=256,sentences=1"
"""The generated scenes: the first ones of a fixed stream, one sentence about each."""


_MAX_LABEL = 200


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Settings of a card. ``steps``: T. ``seed`` drives sampling and degraded masks; the scenes are always the same.

    ``batch_images`` and ``batch_episodes``: see :class:`segagent.evaluation.protocols.EvaluationConfig`.
    """

    steps: int = 7
    seed: int = 0
    batch_images: int = 1
    batch_episodes: int = 16

    @property
    def search(self) -> SearchConfig:
        """One candidate, and the predicted IoU stops and chooses: what ``annotate`` does."""
        return SearchConfig(self.steps)

    def plays(self) -> dict[str, EvaluationConfig]:
        """What is played on each data set, by name.

        ``full``: the policy from nothing, all T steps, so that one play tells what stopping early costs as well.
        ``refine``: the policy from degraded masks, stopping as it would. ``centre``: one click in the middle of the
        image. ``outline``: the policy's own outline, no click; only for one that has outlines. ``annotator``: T clicks
        of the simulated annotator, who knows the target.
        """
        whole = SearchConfig(self.steps, stop_iou=2.0, patience=self.steps)
        same = EvaluationConfig(
            search=self.search, seed=self.seed, batch_images=self.batch_images, batch_episodes=self.batch_episodes
        )
        return {
            "full": replace(same, search=whole),
            "refine": replace(same, protocol="refine"),
            "centre": same,
            "outline": replace(same, protocol="outline"),
            "annotator": replace(same, protocol="noc", max_clicks=self.steps),
        }

    def to_dict(self) -> dict[str, Any]:
        """What has to be equal for figures to be comparable."""
        return {
            "name": PROTOCOL,
            "steps": self.steps,
            "seed": self.seed,
            "stop_iou": self.search.stop_iou,
            "patience": self.search.patience,
            "tolerance": TOLERANCE,
            "starts": f"degraded/{DEGRADING_VERSION}, IoU {LOWEST_IOU:g} to {HIGHEST_IOU:g}",
        }


@dataclass(frozen=True)
class DataSet:
    """Something to play on: ``label`` for people, ``folder`` below the card's, named after the content."""

    label: str
    folder: str
    dataset: Dataset


def data_sets(num_scenes: int, specs: Sequence[str], *, crowds: bool = False) -> list[DataSet]:
    """The generated scenes (none for 0) and each given data set, with ``crowds`` as in ``open_dataset``.

    Raises ``InputError`` for none, or one given twice.
    """
    opened = []
    if num_scenes:
        opened.append((f"generated scenes ({num_scenes})", "scenes", open_dataset(SCENES.format(num=num_scenes))))
    for spec in specs:
        dataset = open_dataset(spec, crowds=crowds)
        digest = hashlib.blake2b(dataset.fingerprint.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
        opened.append((without_folders(spec), f"data-{digest}", dataset))
    if not opened:
        raise InputError("nothing to play: 0 scenes and no data set; give --scenes or --data")
    for place, (label, _, dataset) in enumerate(opened):
        if any(dataset.fingerprint == other.fingerprint for _, _, other in opened[:place]):
            raise InputError(f"data set {label!r:.80} is given twice")
    return [DataSet(*one) for one in opened]


def card_name(name: str | None, policy: str) -> str:
    """What a card is called: ``name``, else the policy. Raises ``InputError`` for a name that no card can have."""
    if name is not None and not 0 < len(name) <= _MAX_LABEL:
        raise InputError(f"the name of a card must have 1 to {_MAX_LABEL} characters, got {len(name)}")
    return without_folders(policy) if name is None else name


def without_folders(spec: str) -> str:
    """A specification of a data set, tool or policy with paths cut to their last part: a card tells no one's folders.

    Of ``openai:MODEL@URL`` the model stays.
    """
    if spec.startswith("openai:"):
        return re.split(r"@https?://", spec, maxsplit=1)[0][:_MAX_LABEL]
    return re.sub(r"[^:,=]*[/\\]", "", spec.rstrip("/\\"))[:_MAX_LABEL] or "data"
