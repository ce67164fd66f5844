"""Trajectories of a whole data set into one journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import SegmentationTool
from segagent.core.versions import package_versions
from segagent.datasets import Dataset, SampleGroup
from segagent.distributed import worker_processes
from segagent.learning.trajectories.config import TrajectoryConfig
from segagent.learning.trajectories.images import trajectories_of
from segagent.learning.trajectories.records import Failure
from segagent.runs.fingerprint import tool_answers
from segagent.runs.journal import Journal

MakeTool: TypeAlias = Callable[[], SegmentationTool]
"""Makes the tool; it is sent to other processes, so it must be picklable (``partial(make_tool, "embedded")``)."""


OPTIONS = {
    name: f"--{name.replace('_', '-')}" for name in ("tool", "max_steps", "tau_stop", "tau_diff", "starts", "seed")
}
"""How the settings are given to the command."""


@dataclass
class Report:
    """What a trajectories file holds. ``num_kept_images`` of its images were there when this run began."""

    num_images: int = 0
    num_samples: int = 0
    num_trajectories: int = 0
    num_kept_images: int = 0
    failures: list[Failure] = field(default_factory=list)
    _last: tuple[int, str] = (-1, "")

    def add(self, unit: int, record: dict[str, Any]) -> None:
        """Count a record of image number ``unit``; records of a sample follow one another."""
        failure = Failure.from_dict(record)
        if failure is not None:
            self.failures.append(failure)
        else:
            self.num_trajectories += 1
        sample = (unit, str(record.get("sample_id")))
        self.num_samples += sample != self._last
        self._last = sample


Progress: TypeAlias = Callable[[Report], None]


def generate_dataset(
    dataset: Dataset,
    make_tool: MakeTool,
    out: str | Path,
    config: TrajectoryConfig = TrajectoryConfig(),  # noqa: B008 - frozen
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Write the simulated annotator's trajectories for ``dataset`` to ``out``, or go on where an earlier run stopped.

    The file is a :class:`segagent.runs.journal.Journal` with one unit per image; its records are trajectories and
    failures in the order of ``dataset.groups()``. It does not depend on ``workers``, on ``config.batch_images`` or on
    where earlier runs were stopped. Samples that cannot be used are recorded as failures and the others go on.

    Args:
        dataset: what to annotate.
        make_tool: see :data:`MakeTool`.
        out: the file. One that was made from other annotations, with other settings or by another tool is refused.
        config: which trajectories to make.
        workers: processes; 1 works in this one.
        progress: called after each image, and once at the beginning, with what the file holds.

    Raises:
        InputError: see :class:`segagent.runs.journal.Journal`.
        SegAgentError: if the tool cannot be made or a worker process dies. What was written stays.
    """
    report = Report()
    with worker_processes(make_tool, workers) as ask:
        (asked,) = ask(_describe, [None])
        settings = {"what": "trajectories", "dataset": dataset.fingerprint, **asked, **config.to_dict()}
        notes = {"dataset": dataset.spec, "versions": package_versions()}
        with Journal(
            out, settings, notes, kept=lambda record: report.add(record["unit"][0], record), options=OPTIONS
        ) as journal:
            report.num_images = report.num_kept_images = journal.next_unit
            if progress is not None:
                progress(report)
            groups = islice(dataset.groups(), journal.next_unit, None)
            for batch in ask(partial(_work, config=config), _batches(groups, config.batch_images)):
                for records in batch:
                    journal.append(journal.next_unit, records)
                    for record in records:
                        report.add(journal.next_unit - 1, record)
                    report.num_images += 1
                    if progress is not None:
                        progress(report)
    return report


def _work(
    tool: SegmentationTool, groups: Sequence[SampleGroup], *, config: TrajectoryConfig
) -> list[list[dict[str, Any]]]:
    return trajectories_of(groups, tool, config)


def _batches(groups: Iterable[SampleGroup], size: int) -> Iterator[Sequence[SampleGroup]]:
    iterator = iter(groups)
    while batch := list(islice(iterator, size)):
        yield batch


def _describe(tool: SegmentationTool, _: None) -> dict[str, str]:
    return {"tool": tool.name, "tool_answers": tool_answers(tool)}
