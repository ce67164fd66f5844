"""The records of some images: their samples loaded, played, and put beside what metrics need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from segagent.core import Policy, RefusedError, SegmentationTool, ToolError, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import SampleGroup
from segagent.datasets.loading import load_samples
from segagent.distributed import Lanes
from segagent.evaluation.protocols import EvaluationConfig, Task, play
from segagent.runs.stored import EMPTY_SCHEMA, SKIPPED_SCHEMA


def play_groups(
    groups: Sequence[SampleGroup],
    policy: Policy | None,
    tool: SegmentationTool,
    config: EvaluationConfig,
    lanes: Lanes = Lanes(),  # noqa: B008 - of one lane, which has no state
) -> list[list[dict[str, Any]]]:
    """The records of each image, in the order of its samples; at least one. ``lanes``: that this is done in."""
    began = lanes.clock()
    with lanes.holding(lambda: [_load(group, config) for group in groups], _pixels) as loaded:
        tasks = [task for one in loaded for task in one if isinstance(task, Task)]
        made = iter(_play(tasks, policy, lanes.in_turns(tool), config))
        share = (lanes.clock() - began) / max(len(tasks), 1)
        played = [[record for task in one for record in _records(task, made, share)] for one in loaded]
    return [
        records or [{"schema": EMPTY_SCHEMA, "image": group.image_name}]
        for group, records in zip(groups, played, strict=True)
    ]


def _pixels(loaded: Sequence[Sequence[Task | dict[str, Any]]]) -> int:
    """How many pixels of pictures are loaded."""
    shown = [next((task.image for task in one if isinstance(task, Task)), None) for one in loaded]
    return sum(image.height * image.width for image in shown if image is not None)


def _load(group: SampleGroup, config: EvaluationConfig) -> list[Task | dict[str, Any]]:
    """Each sample loaded, or the record that says why it is not played. The picture is read once."""
    found: list[Task | dict[str, Any]] = []
    for one in load_samples(group.samples()):
        if isinstance(one, Failure):
            found.append(one.to_dict())
        elif config.protocol not in ("res", "outline") and not one.mask.any():
            reason = "has no target; there is nothing to click"
            skipped = {"sample_id": one.sample.sample_id, "image": one.sample.image_name, "reason": reason}
            found.append({"schema": SKIPPED_SCHEMA, **skipped})
        else:
            found.append(Task(one.sample, one.image, one.mask, one.ignore))
    return found


def _play(
    tasks: Sequence[Task], policy: Policy | None, tool: SegmentationTool, config: EvaluationConfig
) -> list[list[dict[str, Any]]]:
    """The records of each task. One that tool or policy cannot deal with must not take the others with it."""
    if not tasks:
        return []
    try:
        played = play(tasks, policy, tool, config)
    except (ToolError, RefusedError, ValueError) as error:
        if len(tasks) > 1:
            return [records for task in tasks for records in _play([task], policy, tool, config)]
        sample = tasks[0].sample
        return [[Failure(sample.sample_id, sample.image_name, str(error)).to_dict()]]
    return [[trajectory.to_dict() for trajectory in one] for one in played]


def _records(
    task: Task | dict[str, Any], made: Iterator[list[dict[str, Any]]], share: float
) -> Iterator[dict[str, Any]]:
    """A task's records with what its metrics need beside the trajectory."""
    if not isinstance(task, Task):
        yield task
        return
    records = next(made)
    for record in records:
        if Failure.from_dict(record) is not None:
            yield record
            continue
        about = {name: getattr(task.sample, name) for name in ("category", "kind")}
        yield {
            **record,
            **{name: value for name, value in about.items() if value is not None},
            "target": encode_rle(task.mask),
            "ignore": None if task.ignore is None else encode_rle(task.ignore),
            "elapsed": share / len(records),
        }
