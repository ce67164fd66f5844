"""Audit, refine and annotate: what is played of an object, and what is kept of it.

A mask that is given is all that is read of a data set's annotations; ``annotate`` does not read even that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.models import Models
from segagent.annotation.batch.records import ObjectRecord, Outcome, SeenOutline
from segagent.annotation.batch.replacing import replaces
from segagent.annotation.batch.second_opinion import tool_outline
from segagent.annotation.single import checked_text
from segagent.core import Image, Policy, Trajectory
from segagent.datasets import Sample
from segagent.environment import Episode, StartSpec
from segagent.environment.seeds import episode_seed
from segagent.policies.doubts import speaks_against
from segagent.policies.mending import MendingPolicy, outline_judge
from segagent.runs.playing import CANNOT_BE_PLAYED, Asked, Playing, failed
from segagent.search import SearchConfig, rollout


def objects_played(config: RunConfig) -> Playing[Models]:
    """What is done with images. An object that cannot be worked on becomes a failure and takes no other with it."""
    return Playing(_Objects(config))


@dataclass(frozen=True, slots=True)
class _Objects:
    """A :class:`segagent.runs.playing.Kind`: one episode per object, and of it an :class:`ObjectRecord`."""

    config: RunConfig
    embeds = True

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked]:
        if self.config.only.doubtful and not speaks_against(models.policy, image, checked_text(sample.text)):
            return []
        start = StartSpec()
        if self.config.job != "annotate":
            mask, _ = sample.load_target(image)
            start = StartSpec("mask", mask=mask)
        seed = episode_seed(self.config.seed, sample.sample_id)
        text = checked_text(sample.text)
        return [Asked(Episode(image, text, sample.sample_id, sample.image_name, start, seed))]

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        episodes = [one.episode for one in asked]
        policy, search = _policy(models, self.config), _search(models, self.config)
        made = rollout(episodes, policy, models.tool, search, batch_size=self.config.batch_episodes)
        return [[one] for one in made]

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        try:
            return [_record(sample, asked.episode.image, made[0], models, self.config)]
        except CANNOT_BE_PLAYED as error:  # of the tool, asked once more
            return [failed(sample, str(error) or type(error).__name__)]


def _search(models: Models, config: RunConfig) -> SearchConfig:
    if config.job == "audit":
        # One look ahead: what the policy would do, and whether it likes the outcome better.
        return replace(config.search, max_steps=1, stop_iou=2.0)
    if config.job == "refine":
        # What cannot rise by the margin need not be tried.
        keep = min(models.predicted_for(config.below), 1 - config.margin)
        # A policy that judges outlines has one candidate more, which mends the outline.
        more = 0 if outline_judge(models.policy) is None else 1
        return replace(config.search, keep_iou=keep, num_candidates=config.search.num_candidates + more)
    return config.search


def _policy(models: Models, config: RunConfig) -> Policy:
    """Who clicks: in a refine not for the words alone but for the outline too, where the policy judges outlines."""
    judge = outline_judge(models.policy) if config.job == "refine" else None
    return models.policy if judge is None else MendingPolicy(models.policy, judge)


def _record(sample: Sample, image: Image, trajectory: Trajectory, models: Models, config: RunConfig) -> dict[str, Any]:
    outcome: Outcome
    predicted = trajectory.predicted_iou_at(trajectory.returned)
    against = speaks_against(models.policy, image, trajectory.text)
    outline = None if config.job == "annotate" else seen_outline(models.policy, image, trajectory)
    if outline is None and config.job == "audit" and config.tool_opinion:
        outline = tool_outline(models.tool, image, trajectory.mask_at(0))
    if config.job == "annotate":
        outcome = made_or_not_found(trajectory, models, config.found)
    else:
        given = trajectory.start.predicted_iou
        if given is None or predicted is None:
            return failed(sample, no_iou(models.policy.name))
        if config.job == "refine" and replaces(trajectory, image, against, outline, models, config):
            outcome = "repaired"
        else:
            outcome = "audited" if config.job == "audit" else "kept"
            trajectory = replace(trajectory, returned=0)
    return ObjectRecord(sample.sample_id, outcome, trajectory, sample.category, against, outline).to_dict()


def seen_outline(policy: Policy, image: Image, trajectory: Trajectory) -> SeenOutline | None:
    """What the policy sees of the given mask, and of the answer, without the words; None where it cannot judge that."""
    judge, given = outline_judge(policy), trajectory.mask_at(0)
    judged = None if judge is None else judge.judge_outline(image, given)
    if judge is None or judged is None:
        return None
    area = np.count_nonzero(given)
    missing, spill = (np.count_nonzero(part) / area for part in (judged.outline & ~given, given & ~judged.outline))
    after = judge.judge_outline(image, trajectory.mask_at(trajectory.returned)) if trajectory.returned else None
    return SeenOutline(judged.iou, missing, spill, None if after is None else after.iou)


def no_iou(policy: str) -> str:
    """Why an object fails that the policy of this name has answered without the IoU of its mask."""
    return f"the reply of policy {policy!r} predicts no IoU of the given mask"


def made_or_not_found(trajectory: Trajectory, models: Models, found: float) -> Outcome:
    """Whether the returned mask is an answer: it is not empty, and its calibrated predicted IoU at least ``found``."""
    predicted = trajectory.predicted_iou_at(trajectory.returned)
    if not trajectory.mask_at(trajectory.returned).any():
        return "not_found"
    return "made" if predicted is None or models.calibrated(predicted) >= found else "not_found"
