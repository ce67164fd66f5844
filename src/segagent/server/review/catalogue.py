"""The objects of a run by their index: what the work list tells of each, and where its record stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from segagent.annotation.batch import ObjectRecord, Run
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.annotation.review.entries import FAILED, WorkItem, entries_of, ranked
from segagent.core import InputError, Rle
from segagent.core.failures import Failure
from segagent.datasets import Dataset
from segagent.runs.journal import placed_records, record_at


@dataclass(frozen=True, slots=True)
class Masks:
    """An object's masks as the run has them; None where there is none.

    ``given``: what the run was given. ``answer``: what came of it. ``best``: the best try that was not taken.
    """

    given: Rle | None = None
    answer: Rle | None = None
    best: Rle | None = None


class Catalogue:
    """The run's objects. ``entries``: by index; ``order``: their indices, worst first; ``sizes``: height and width of
    the images, by name, where a record tells them.
    """

    def __init__(self, run: Run, dataset: Dataset | str) -> None:
        """Read the run once. Raises ``InputError`` where it is damaged."""
        self._path = run.folder / JOURNAL_FILE
        self.sizes: dict[str, tuple[int, int]] = {}
        self._places = dict(_places(self._path, self.sizes))
        self.entries = _with_words(list(entries_of(run)), dataset)
        self.order = [entry.index for entry in ranked(self.entries)]
        self.by_id = {entry.object_id: entry.index for entry in self.entries}

    def record(self, index: int) -> ObjectRecord | Failure:
        """The run's record of an object. Raises ``InputError`` where the file was changed meanwhile."""
        data = record_at(self._path, self._places[self.entries[index].object_id])
        failure = Failure.from_dict(data)
        try:
            return failure if failure is not None else ObjectRecord.from_dict(data)
        except ValueError as error:
            raise InputError(f"{self._path}: {error}") from error

    def masks(self, index: int) -> Masks:
        """The run's masks of an object."""
        record = self.record(index)
        if isinstance(record, Failure):
            return Masks()
        trajectory = record.trajectory
        tried = [state for state in range(1, len(trajectory.steps) + 1) if state != trajectory.returned]
        if record.outcome == "not_found":
            tried.append(trajectory.returned)
        best = max(tried, key=lambda state: trajectory.predicted_iou_at(state) or 0.0, default=None)
        return Masks(
            None if record.outcome in ("made", "not_found") else trajectory.rle_at(0),
            None if record.outcome == "not_found" else trajectory.rle_at(trajectory.returned),
            None if best is None else trajectory.rle_at(best),
        )


def _places(path: Path, sizes: dict[str, tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """Where each object's record stands, by id; of one that was tried again the last."""
    for place, data in placed_records(path):
        trajectory = data.get("trajectory")
        if isinstance(trajectory, dict):
            sizes[str(trajectory.get("image"))] = (int(trajectory["height"]), int(trajectory["width"]))
        yield str(data.get("object_id", data.get("sample_id"))), place


def _with_words(entries: list[WorkItem], dataset: Dataset | str) -> list[WorkItem]:
    """Failed objects with the words and the category that the data set has for them: their records tell none."""
    failed = {entry.object_id: entry.index for entry in entries if entry.outcome == FAILED}
    if not failed or isinstance(dataset, str):
        return entries
    for sample in dataset:
        index = failed.get(sample.sample_id)
        if index is not None:
            entries[index] = replace(entries[index], text=sample.text, category=sample.category)
    return entries
