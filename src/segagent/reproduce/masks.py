"""Masks for annotation filtering (paper Table 3), and how hard the splits are (Fig. 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import Observation, SegmentationTool, iou
from segagent.datasets.faults import damaged
from segagent.environment import Episode, random_clicks_start, reset
from segagent.evaluation.clicking import click_trajectories
from segagent.reproduce.episodes import weights_digest
from segagent.reproduce.players import Player, load_player
from segagent.reproduce.records import Record, make_records
from segagent.reproduce.samples import sample_of
from segagent.reproduce.work import Ask, Watch

KINDS = ("random clicks", "damaged")
"""Masks from one to three random clicks in the target's box, as in the paper; and the same ones, damaged."""

_ENOUGH = 0.85
"""The highest IoU that clicks are counted to."""


@dataclass(frozen=True, slots=True)
class JudgedMask:
    """A mask's predicted and true IoU, in [0, 1]. ``kind``: one of :data:`KINDS`."""

    predicted: float
    true: float
    image: str
    kind: str


@dataclass(frozen=True, slots=True)
class MaskPlan:
    """One journal: masks of every scene of ``dataset`` made by ``tool``, judged by ``policy``; ``draws`` per kind."""

    name: str
    policy: str
    dataset: str
    tool: str
    draws: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """What decides the records."""
        settings = {name: value for name, value in asdict(self).items() if name != "name"}
        return {"what": "miniature masks", **settings, "weights": weights_digest(self.policy)}


def judge_masks(plan: MaskPlan, path: Path, ask: Ask, watch: Watch) -> list[JudgedMask]:
    """The judged masks of ``plan``; kept and resumed as :func:`segagent.reproduce.records.make_records` says."""
    make = partial(_judge_scenes, plan=plan)
    records = make_records(plan.name, path, plan.to_dict(), plan.dataset, make, ask, watch)
    return [JudgedMask(p, t, record["image"], kind) for record in records for kind, p, t in record["masks"]]


def _judge_scenes(tool: SegmentationTool, indices: Sequence[int], *, plan: MaskPlan) -> list[Record]:
    return [_judge_scene(tool, index, plan) for index in indices]


def _judge_scene(tool: SegmentationTool, index: int, plan: MaskPlan) -> Record:
    sample = sample_of(plan.dataset, index)
    if sample is None:
        return {"image": "", "masks": []}
    rng = np.random.default_rng([0xF117, plan.seed, index])
    target = sample.target.mask
    starts = [random_clicks_start(target, rng) for _ in range(plan.draws)]
    episodes = [Episode(sample.image, sample.text, sample.sample_id, sample.image_name, start) for start in starts]
    clicked = [state.mask for state in reset(episodes, tool.embed([sample.image]) * len(episodes), tool)]
    masks = [(KINDS[0], mask) for mask in clicked] + [(KINDS[1], damaged(mask, rng)) for mask in clicked]
    replies = load_player(Player(plan.policy)).propose([Observation(sample.image, sample.text, m) for _, m in masks])
    judged = []
    for (kind, mask), (proposal,) in zip(masks, replies, strict=True):
        if proposal.predicted_iou is not None:
            judged.append([kind, proposal.predicted_iou, iou(mask, target)])
    return {"image": sample.image_name, "masks": judged}


def clicks_needed(
    name: str, dataset: str, tool: str, max_clicks: int, path: Path, ask: Ask, watch: Watch
) -> list[list[float]]:
    """For each object of ``dataset``, the IoU after each of the simulated annotator's clicks, up to 0.85."""
    settings = {"what": "miniature clicks", "dataset": dataset, "tool": tool, "max_clicks": max_clicks}
    make = partial(_click_scenes, dataset=dataset, max_clicks=max_clicks)
    records = make_records(name, path, settings, dataset, make, ask, watch)
    return [record["ious"] for record in records if record["ious"]]


def _click_scenes(tool: SegmentationTool, indices: Sequence[int], *, dataset: str, max_clicks: int) -> list[Record]:
    records: list[Record] = []
    for index in indices:
        sample = sample_of(dataset, index)
        ious: list[float] = []
        if sample is not None:
            episode = Episode(sample.image, sample.text, sample.sample_id, sample.image_name)
            (made,) = click_trajectories([episode], [sample.target], tool, max_clicks=max_clicks, enough=_ENOUGH)
            ious = [step.reward for step in made.steps if step.reward is not None]
        records.append({"ious": ious})
    return records
