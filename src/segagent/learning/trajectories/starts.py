"""The states that an object's trajectories begin from, and what is played from each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from segagent.core import BoolMask, Image, SegmentationTool
from segagent.datasets import Sample
from segagent.environment import Episode, StartSpec, Target, box_around, random_clicks_start
from segagent.environment.seeds import episode_seed
from segagent.learning.trajectories.config import StartName
from segagent.runs.playing import Asked


def asked_from(
    starts: Sequence[StartName], sample: Sample, image: Image, tool: SegmentationTool, seed: int
) -> Iterator[Asked]:
    """An episode of a sample for each start, in that order, with its target.

    A sample without an object has nothing to draw a box around; it gets the empty start only. ``seed`` is the run's.
    """
    mask, ignore = sample.load_target(image)
    target = Target(mask, ignore)
    own = episode_seed(seed, sample.sample_id)
    for name in starts:
        start = start_for(name, mask, own, tool)
        if start is not None:
            yield Asked(Episode(image, sample.text, sample.sample_id, sample.image_name, start, own), target)


def start_for(name: StartName, mask: BoolMask, seed: int, tool: SegmentationTool) -> StartSpec | None:
    """The start ``name`` for the object of ``mask`` (height, width); None for one without a pixel to start from.

    See :class:`segagent.learning.trajectories.config.TrajectoryConfig`; ``seed`` draws the random clicks.
    """
    if name == "empty":
        return StartSpec()
    box = box_around(mask)
    if box is None:
        return None
    if name == "random":
        return random_clicks_start(mask, np.random.default_rng(seed))
    if tool.accepts_box:
        return StartSpec("box", box=box)
    filled = np.zeros(mask.shape, np.bool_)
    filled[box.y0 : box.y1, box.x0 : box.x1] = True
    return StartSpec("mask", mask=filled)
