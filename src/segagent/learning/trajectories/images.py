"""The trajectories of some images' samples: everything that is done between loading an image and writing a line.

Each image is loaded and embedded once and all its objects advance in step. The simulated annotator never reads the
sentence, so sentences about one and the same mask share its trajectories: they are made once and recorded for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from segagent.core import BoolMask, SegAgentError, SegmentationTool, Trajectory
from segagent.datasets import Sample, SampleGroup
from segagent.datasets.loading import load_samples
from segagent.environment import (
    Episode,
    StartSpec,
    Target,
    box_around,
    generate_trajectories,
    random_clicks_start,
)
from segagent.learning.trajectories.config import StartName, TrajectoryConfig, episode_seed
from segagent.learning.trajectories.records import Failure


@dataclass(frozen=True, eq=False)
class _Loaded:
    """One image's samples. ``places``: for each sample its episodes' numbers, or why there are none."""

    samples: Sequence[Sample]
    episodes: list[Episode] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    places: list[range | str] = field(default_factory=list)


def trajectories_of(
    groups: Sequence[SampleGroup], tool: SegmentationTool, config: TrajectoryConfig
) -> list[list[dict[str, Any]]]:
    """The records of each group: for each sample one per start, in the order of ``config.starts``, or one failure.

    A sample without an object has nothing to draw a box around; it gets the empty start only.
    """
    loaded = [_load(group, tool, config) for group in groups]
    episodes = [episode for one in loaded for episode in one.episodes]
    targets = [target for one in loaded for target in one.targets]
    try:
        made = generate_trajectories(episodes, targets, tool, config.generation)
    except SegAgentError as error:
        if len(groups) > 1:
            # One image must not take the others with it.
            return [records for group in groups for records in trajectories_of([group], tool, config)]
        return [[_failed(sample, str(error)).to_dict() for sample in loaded[0].samples]]
    remaining = iter(made)
    return [_records(one, [next(remaining) for _ in one.episodes]) for one in loaded]


def _load(group: SampleGroup, tool: SegmentationTool, config: TrajectoryConfig) -> _Loaded:
    loaded = _Loaded(group.samples())
    known: dict[tuple[bytes, bytes], range] = {}
    for one in load_samples(loaded.samples):
        if isinstance(one, Failure):
            loaded.places.append(one.reason)
            continue
        sample, image, mask, ignore = one.sample, one.image, one.mask, one.ignore
        key = (np.packbits(mask).tobytes(), np.packbits(ignore).tobytes() if ignore is not None else b"")
        if key not in known:
            first = len(loaded.episodes)
            seed = episode_seed(config.seed, sample.sample_id)
            for name in config.starts:
                start = start_for(name, mask, seed, tool)
                if start is not None:
                    loaded.episodes.append(
                        Episode(image, sample.text, sample.sample_id, sample.image_name, start, seed)
                    )
                    loaded.targets.append(Target(mask, ignore))
            known[key] = range(first, len(loaded.episodes))
        loaded.places.append(known[key])
    return loaded


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


def _records(loaded: _Loaded, made: Sequence[Trajectory]) -> list[dict[str, Any]]:
    records = []
    for sample, place in zip(loaded.samples, loaded.places, strict=True):
        if isinstance(place, str):
            records.append(_failed(sample, place).to_dict())
            continue
        for index in place:
            records.append(replace(made[index], sample_id=sample.sample_id, text=sample.text).to_dict())
    return records


def _failed(sample: Sample, reason: str) -> Failure:
    return Failure(sample.sample_id, sample.image_name, reason)
