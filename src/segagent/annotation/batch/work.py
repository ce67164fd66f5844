"""Audit, refine and annotate: what is played of an object, and what is kept of it.

A mask that is given is all that is read of a data set's annotations; ``annotate`` does not read even that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.models import Models
from segagent.annotation.batch.records import ObjectRecord, Outcome
from segagent.annotation.single import checked_text, speaks_against
from segagent.core import Image, Trajectory
from segagent.datasets import Sample
from segagent.environment import Episode, StartSpec
from segagent.environment.seeds import episode_seed
from segagent.runs.playing import Asked, ImageResult, ImageTask, failed, play_images
from segagent.search import SearchConfig, rollout


def work_on(models: Models, tasks: Sequence[ImageTask], *, config: RunConfig) -> list[ImageResult]:
    """The results of ``tasks``. An object that cannot be worked on becomes a failure and takes no other with it."""
    return play_images(models, tasks, kind=_Objects(config))


@dataclass(frozen=True, slots=True)
class _Objects:
    """A :class:`segagent.runs.playing.Kind`: one episode per object, and of it an :class:`ObjectRecord`."""

    config: RunConfig

    def asked(self, sample: Sample, image: Image, models: Models) -> list[Asked]:
        start = StartSpec()
        if self.config.job != "annotate":
            mask, _ = sample.load_target(image)
            start = StartSpec("mask", mask=mask)
        seed = episode_seed(self.config.seed, sample.sample_id)
        text = checked_text(sample.text)
        return [Asked(Episode(image, text, sample.sample_id, sample.image_name, start, seed))]

    def play(self, asked: Sequence[Asked], models: Models) -> list[list[Trajectory]]:
        episodes = [one.episode for one in asked]
        search, at_once = _search(models, self.config), self.config.batch_episodes
        return [[made] for made in rollout(episodes, models.policy, models.tool, search, batch_size=at_once)]

    def kept(
        self, sample: Sample, asked: Asked, made: Sequence[Trajectory], models: Models, seconds: float
    ) -> list[dict[str, Any]]:
        return [_record(sample, asked.episode.image, made[0], models, self.config)]


def _search(models: Models, config: RunConfig) -> SearchConfig:
    if config.job == "audit":
        # One look ahead: what the policy would do, and whether it likes the outcome better.
        return replace(config.search, max_steps=1, stop_iou=2.0)
    if config.job == "refine":
        # What cannot rise by the margin need not be tried.
        return replace(config.search, keep_iou=min(models.predicted_for(config.below), 1 - config.margin))
    return config.search


def _record(sample: Sample, image: Image, trajectory: Trajectory, models: Models, config: RunConfig) -> dict[str, Any]:
    outcome: Outcome
    predicted = trajectory.predicted_iou_at(trajectory.returned)
    against = speaks_against(models.policy, image, trajectory.text)
    if config.job == "annotate":
        outcome = made_or_not_found(trajectory, models, config.found)
    else:
        given = trajectory.start.predicted_iou
        if given is None or predicted is None:
            return failed(sample, no_iou(models.policy.name))
        better = predicted > given + config.margin and models.calibrated(predicted) >= config.sure
        if config.job == "refine" and trajectory.returned and better and not against:
            outcome = "repaired"
        else:
            outcome = "audited" if config.job == "audit" else "kept"
            trajectory = replace(trajectory, returned=0)
    return ObjectRecord(sample.sample_id, outcome, trajectory, sample.category, against).to_dict()


def no_iou(policy: str) -> str:
    """Why an object fails that the policy of this name has answered without the IoU of its mask."""
    return f"the reply of policy {policy!r} predicts no IoU of the given mask"


def made_or_not_found(trajectory: Trajectory, models: Models, found: float) -> Outcome:
    """Whether the returned mask is an answer: it is not empty, and its calibrated predicted IoU at least ``found``."""
    predicted = trajectory.predicted_iou_at(trajectory.returned)
    if not trajectory.mask_at(trajectory.returned).any():
        return "not_found"
    return "made" if predicted is None or models.calibrated(predicted) >= found else "not_found"
