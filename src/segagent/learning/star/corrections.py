"""What the simulated annotator would have done where a rollout's action did no good, tried out, into a journal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from segagent.core import (
    SCHEMA,
    Action,
    Click,
    Image,
    InputError,
    SegmentationTool,
    State,
    Trajectory,
)
from segagent.core.actions import action_from_dict, action_to_dict
from segagent.core.failures import Failure
from segagent.core.versions import package_versions
from segagent.datasets import Dataset, Sample, SampleGroup
from segagent.datasets.loading import Loaded, load_samples
from segagent.distributed import Asking
from segagent.environment import Episode, Target, embed_images, next_click, reset, step_batch
from segagent.environment.replay import start_of
from segagent.learning.examples import Correction, raised
from segagent.runs.journal import read_journal
from segagent.runs.models import Models
from segagent.runs.playing import CANNOT_BE_PLAYED, ImageResult, ImageTask
from segagent.runs.progress import Progress, Watch
from segagent.runs.run import DIED, Plan, carry_out
from segagent.runs.session import Session, Shard
from segagent.runs.stored import stored_images
from segagent.runs.summary import SUMMARY_ENDING

CORRECTIONS_SCHEMA = "segagent.corrections/1"


class Corrected(NamedTuple):
    """A rollout and, by the number of the step (from 1) that did not raise the reward, the annotator's click there."""

    trajectory: Trajectory
    corrections: dict[int, Correction]


def correct_rollouts(
    ask: Asking[Models],
    dataset: Dataset,
    rollouts: Path,
    out: Path,
    settings: dict[str, Any],
    session: Session = Session(),  # noqa: B008 - frozen
    watch: Watch | None = None,
    shard: Shard = Shard(),
) -> Progress:
    """Try the annotator's click in each state of ``rollouts`` whose action did not raise the reward, into ``out``.

    The rollouts are played again for it, since what a tool remembers of a state is not on record. ``out`` is a journal
    with the units of ``rollouts`` and one record per trajectory, in order; one that was begun is resumed. A
    trajectory whose picture or target cannot be read any more, or that the tool cannot deal with, leaves a failure.
    ``ask`` runs what needs the tool; budgets are the rollouts' alone. Raises as
    :func:`segagent.runs.run.carry_out` does.
    """
    plan = Plan(
        _RolledOut(dataset, rollouts),
        _correct,
        out,
        {"what": "corrections", **settings},
        {"versions": package_versions()},
        shard=shard,
        died=_fail_as_died,
        summary=out.with_suffix(SUMMARY_ENDING),
    )
    return carry_out(plan, ask, Session(limit=session.limit), watch)


@dataclass(frozen=True)
class _RolledOutGroup:
    """An image's samples, and what was rolled out on them."""

    group: SampleGroup
    trajectories: Sequence[Trajectory]

    @property
    def image_name(self) -> str:
        return self.group.image_name

    def samples(self) -> Sequence[Sample]:
        return self.group.samples()


@dataclass(frozen=True)
class _RolledOut:
    """A data set, each of whose images brings its trajectories in the journal ``rollouts`` along."""

    dataset: Dataset
    rollouts: Path

    @property
    def num_images(self) -> int:
        return self.dataset.num_images

    def groups(self) -> Iterator[_RolledOutGroup]:
        units = _trajectories_by_unit(self.rollouts)
        unit, trajectories = next(units, (-1, []))
        for place, group in enumerate(self.dataset.groups()):
            while 0 <= unit < place:
                unit, trajectories = next(units, (-1, []))
            yield _RolledOutGroup(group, trajectories if unit == place else ())


def read_corrected(rollouts: Path, corrections: Path) -> Iterator[Corrected]:
    """What :func:`correct_rollouts` wrote beside its trajectories, failures left out.

    Raises ``InputError`` where the two files do not belong together.
    """
    _, records = read_journal(corrections)
    by_unit = {unit: list(many) for unit, many in groupby(records, lambda record: record["unit"][0])}
    for unit, trajectories in _trajectories_by_unit(rollouts):
        found = by_unit.get(unit, [])
        if [t.sample_id for t in trajectories] != [record.get("sample_id") for record in found]:
            raise _strange(corrections, rollouts)
        for trajectory, record in zip(trajectories, found, strict=True):
            if record.get("schema") != CORRECTIONS_SCHEMA:
                continue
            made = {int(index): _from_dict(one) for index, one in record["corrections"].items()}
            if set(made) != {n for n in range(1, len(trajectory.steps) + 1) if not raised(trajectory, n)}:
                raise _strange(corrections, rollouts)
            yield Corrected(trajectory, made)


def _strange(corrections: Path, rollouts: Path) -> InputError:
    return InputError(f"{corrections}: does not belong to {rollouts}; remove it to make it again")


def _trajectories_by_unit(path: Path) -> Iterator[tuple[int, list[Trajectory]]]:
    """The trajectories of each image that has any."""
    for unit, records in stored_images(path):
        trajectories = [Trajectory.from_dict(record) for record in records if record.get("schema") == SCHEMA]
        if trajectories:
            yield unit, trajectories


def _correct(models: Models, tasks: Sequence[ImageTask]) -> list[ImageResult]:
    return [ImageResult(task.unit, _records(_trajectories(task), task, models.tool), {}) for task in tasks]


def _fail_as_died(tasks: Sequence[ImageTask]) -> list[ImageResult]:
    return [ImageResult(task.unit, [_failed(one, DIED) for one in _trajectories(task)], {}) for task in tasks]


def _trajectories(task: ImageTask) -> Sequence[Trajectory]:
    assert isinstance(task.group, _RolledOutGroup)
    return task.group.trajectories


def _records(trajectories: Sequence[Trajectory], task: ImageTask, tool: SegmentationTool) -> list[dict[str, Any]]:
    if not trajectories:
        return []
    loaded = {one.sample.sample_id: one for one in load_samples(task.samples()) if isinstance(one, Loaded)}
    found = [(t, loaded[t.sample_id]) for t in trajectories if t.sample_id in loaded]
    made = iter(_tried([(t, one.image, Target(one.mask, one.ignore)) for t, one in found], tool))
    records = []
    for trajectory in trajectories:
        corrections = next(made) if trajectory.sample_id in loaded else "its picture or mask cannot be read any more"
        if isinstance(corrections, str):
            records.append(_failed(trajectory, corrections))
            continue
        about = {"sample_id": trajectory.sample_id, "image": trajectory.image}
        clicks = {str(index): _to_dict(one) for index, one in corrections.items()}
        records.append({"schema": CORRECTIONS_SCHEMA, **about, "corrections": clicks})
    return records


def _failed(trajectory: Trajectory, reason: str) -> dict[str, Any]:
    return Failure(trajectory.sample_id, trajectory.image, reason).to_dict()


def _tried(
    played: Sequence[tuple[Trajectory, Image, Target]], tool: SegmentationTool
) -> list[dict[int, Correction] | str]:
    """The corrections of each trajectory, or why there are none."""
    try:
        return list(try_corrections(played, tool))
    except CANNOT_BE_PLAYED as error:
        if len(played) > 1:
            return [made for one in played for made in _tried([one], tool)]
        return [str(error) or type(error).__name__]


def try_corrections(
    played: Sequence[tuple[Trajectory, Image, Target]], tool: SegmentationTool
) -> list[dict[int, Correction]]:
    """For each trajectory, with its picture and target, the annotator's click instead of each step that did no good.

    These are the steps that did not raise the reward, by number, from 1. All are played again in step with one another.
    """
    episodes = [Episode(image, t.text, t.sample_id, t.image, start_of(t), seed=t.seed) for t, image, _ in played]
    embeddings = embed_images(tool, [episode.image for episode in episodes])
    states = [[state] for state in reset(episodes, embeddings, tool)]
    found: list[dict[int, Correction]] = [{} for _ in played]
    for depth in range(max((len(t.steps) for t, _, _ in played), default=0)):
        moves: list[tuple[object, State, Action]] = []
        tried: list[tuple[int, Click | None]] = []
        for number, (trajectory, _, target) in enumerate(played):
            if depth >= len(trajectory.steps):
                continue
            step = trajectory.steps[depth]
            state = states[number][step.parent]
            moves.append((embeddings[number], state, step.action))
            tried.append((number, None))
            if raised(trajectory, depth + 1):
                continue
            clicked = [prompt for prompt in state.prompts if isinstance(prompt, Click)]
            click = next_click(state.mask, target.mask, clicked, target.ignore)
            if click is None:
                found[number][depth + 1] = Correction(None, target.reward(state))
            else:
                moves.append((embeddings[number], state, click))
                tried.append((number, click))
        for (number, click), state in zip(tried, step_batch(moves, tool), strict=True):
            if click is None:
                states[number].append(state)
            else:
                found[number][depth + 1] = Correction(click, played[number][2].reward(state))
    return found


def _to_dict(one: Correction) -> dict[str, Any]:
    return {"click": None if one.click is None else action_to_dict(one.click), "reward": one.reward}


def _from_dict(data: dict[str, Any]) -> Correction:
    click = None if data["click"] is None else action_from_dict(data["click"])
    assert click is None or isinstance(click, Click)
    return Correction(click, float(data["reward"]))
