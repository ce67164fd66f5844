"""The objects of some images: everything that is done between loading an image and writing a line.

Each image is loaded and embedded once and all its objects advance in step. A mask that is given is all that is read of
a data set's annotations; ``annotate`` does not read even that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.models import Models
from segagent.annotation.batch.records import ObjectRecord, Outcome, SeenOutline
from segagent.annotation.single import checked_text, speaks_against
from segagent.core import Image, InputError, Policy, RefusedError, ToolError, Trajectory, Usage, iou, total_usage
from segagent.core.failures import Failure
from segagent.datasets import Sample, SampleGroup
from segagent.datasets.loading import OncePicture
from segagent.environment import Episode, StartSpec
from segagent.environment.seeds import episode_seed
from segagent.policies.mending import MendingPolicy, outline_judge
from segagent.search import SearchConfig, rollout

SAME_THING = 0.4
"""A refined mask of at least this IoU with the given one is about the same thing."""
SURE_OUTLINE = 0.85
"""So good an outline, judged without words, may replace a worse one of the same thing where the words say nothing."""


@dataclass(frozen=True, slots=True)
class ImageTask:
    """The objects of an image, all or ``only`` some of them; ``unit`` numbers their records in the journal."""

    unit: int
    group: SampleGroup
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The records of an image's objects, in the data set's order, and what they cost."""

    unit: int
    records: list[dict[str, Any]]
    cost: dict[str, Any]


@dataclass(frozen=True, eq=False)
class _Loaded:
    """What is known of each of an image's objects before the models are asked: an episode, or why there is none."""

    samples: list[Sample] = field(default_factory=list)
    episodes: list[Episode | str] = field(default_factory=list)


def work_on(models: Models, tasks: Sequence[ImageTask], *, config: RunConfig) -> list[ImageResult]:
    """The results of ``tasks``. An object that cannot be worked on becomes a failure and takes no other with it."""
    began = models.lanes.clock()
    with models.lanes.holding(lambda: [_load(task, config) for task in tasks], _pixels) as loaded:
        results = _results(models, tasks, loaded, config)
    seconds = models.lanes.clock() - began
    total = sum(len(result.records) for result in results)
    for result in results:
        result.cost["seconds"] = round(seconds * len(result.records) / max(total, 1), 4)
    return results


def _results(
    models: Models, tasks: Sequence[ImageTask], loaded: Sequence[_Loaded], config: RunConfig
) -> list[ImageResult]:
    episodes = [episode for one in loaded for episode in one.episodes if isinstance(episode, Episode)]
    made = iter(_play(episodes, _policy(models, config), models, _search(models, config)))
    results = []
    for task, one in zip(tasks, loaded, strict=True):
        records: list[dict[str, Any]] = []
        played: list[Trajectory] = []
        for sample, episode in zip(one.samples, one.episodes, strict=True):
            trajectory = next(made) if isinstance(episode, Episode) else episode
            if isinstance(trajectory, Trajectory) and isinstance(episode, Episode):
                played.append(trajectory)
                records.append(_record(sample, episode.image, trajectory, models, config))
            else:
                records.append(_failed(sample, str(trajectory)))
        results.append(ImageResult(task.unit, records, _cost(played)))
    return results


def _pixels(loaded: Sequence[_Loaded]) -> int:
    """How many pixels of pictures are loaded."""
    shown = [next((e.image for e in one.episodes if isinstance(e, Episode)), None) for one in loaded]
    return sum(image.height * image.width for image in shown if image is not None)


def fail_all(tasks: Sequence[ImageTask], reason: str) -> list[ImageResult]:
    """What is recorded where the objects of ``tasks`` could not even be tried."""
    return [
        ImageResult(
            task.unit,
            [_failed(sample, reason) for sample in _wanted(task)],
            _cost([]),
        )
        for task in tasks
    ]


def _wanted(task: ImageTask) -> list[Sample]:
    return [sample for sample in task.group.samples() if task.only is None or sample.sample_id in task.only]


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


def _load(task: ImageTask, config: RunConfig) -> _Loaded:
    loaded = _Loaded(_wanted(task))
    picture = OncePicture()
    for sample in loaded.samples:
        try:
            image = picture.of(sample)
            start = StartSpec()
            if config.job != "annotate":
                mask, _ = sample.load_target(image)
                start = StartSpec("mask", mask=mask)
            seed = episode_seed(config.seed, sample.sample_id)
            text = checked_text(sample.text)
        except InputError as error:
            loaded.episodes.append(str(error))
            continue
        loaded.episodes.append(Episode(image, text, sample.sample_id, sample.image_name, start, seed))
    return loaded


def _policy(models: Models, config: RunConfig) -> Policy:
    """Who clicks: in a refine not for the words alone but for the outline too, where the policy judges outlines."""
    judge = outline_judge(models.policy) if config.job == "refine" else None
    return models.policy if judge is None else MendingPolicy(models.policy, judge)


def _play(episodes: Sequence[Episode], policy: Policy, models: Models, search: SearchConfig) -> list[Trajectory | str]:
    """A trajectory for each episode, or why there is none."""
    if not episodes:
        return []
    try:
        return list(rollout(episodes, policy, models.lanes.in_turns(models.tool), search))
    except (ToolError, RefusedError, ValueError) as error:
        if len(episodes) > 1:
            return [one for episode in episodes for one in _play([episode], policy, models, search)]
        return [str(error) or type(error).__name__]


def _failed(sample: Sample, reason: str) -> dict[str, Any]:
    return Failure(sample.sample_id, sample.image_name, reason).to_dict()


def _record(sample: Sample, image: Image, trajectory: Trajectory, models: Models, config: RunConfig) -> dict[str, Any]:
    outcome: Outcome
    predicted = trajectory.predicted_iou_at(trajectory.returned)
    against = speaks_against(models.policy, image, trajectory.text)
    outline = None if config.job == "annotate" else seen_outline(models.policy, image, trajectory)
    if config.job == "annotate":
        outcome = made_or_not_found(trajectory, models, config.found)
    else:
        given = trajectory.start.predicted_iou
        if given is None or predicted is None:
            return _failed(sample, no_iou(models.policy.name))
        better = predicted > given + config.margin and models.calibrated(predicted) >= config.sure
        if (
            config.job == "refine"
            and trajectory.returned
            and ((better and not against) or _better_outline(outline, trajectory, config))
        ):
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


def _better_outline(outline: SeenOutline | None, trajectory: Trajectory, config: RunConfig) -> bool:
    """Whether the answer is a better outline of the same thing: then it is better, whatever is meant."""
    if outline is None or outline.answer_iou is None:
        return False
    same = iou(trajectory.mask_at(0), trajectory.mask_at(trajectory.returned)) >= SAME_THING
    return same and outline.answer_iou >= outline.iou + config.margin and outline.answer_iou >= SURE_OUTLINE


def no_iou(policy: str) -> str:
    """Why an object fails that the policy of this name has answered without the IoU of its mask."""
    return f"the reply of policy {policy!r} predicts no IoU of the given mask"


def made_or_not_found(trajectory: Trajectory, models: Models, found: float) -> Outcome:
    """Whether the returned mask is an answer: it is not empty, and its calibrated predicted IoU at least ``found``."""
    predicted = trajectory.predicted_iou_at(trajectory.returned)
    if not trajectory.mask_at(trajectory.returned).any():
        return "not_found"
    return "made" if predicted is None or models.calibrated(predicted) >= found else "not_found"


def _cost(played: Sequence[Trajectory]) -> dict[str, Any]:
    used = total_usage([one.usage for one in played]) or Usage()
    told = {name: getattr(used, name) for name in ("cached_tokens", "money", "not_greedy")}
    return {
        "objects": len(played),
        "seconds": 0.0,
        "policy_calls": sum(one.num_policy_calls for one in played),
        "tool_calls": sum(one.num_tool_calls for one in played),
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        **{name: value for name, value in told.items() if value},
    }
