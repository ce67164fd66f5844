"""A run folder as it is read: what was done, object by object, without any model."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from segagent.annotation.batch.records import ObjectRecord
from segagent.core import InputError
from segagent.core.extensions import from_record
from segagent.core.failures import Failure
from segagent.datasets import Dataset, open_dataset
from segagent.evaluation.calibration import Calibration
from segagent.runs.journal import read_journal

JOURNAL_FILE = "journal.jsonl"
COSTS_FILE = "costs.jsonl"
CALIBRATION_NAME = "calibration.json"


@dataclass(frozen=True)
class Run:
    """A run folder and its journal's header. Reading it again gives what has been done since.

    ``chosen``: ids of the only objects to speak of, as ``choice`` says in words; None: of all.
    """

    folder: Path
    config: dict[str, Any]
    notes: dict[str, Any]
    chosen: frozenset[str] | None = None
    choice: str = ""

    @property
    def job(self) -> str:
        """audit, refine or annotate."""
        return str(self.config.get("job"))

    @cached_property
    def calibration(self) -> Calibration | None:
        """What the policy's predicted IoU was worth when the run was made. Raises ``InputError`` if it is damaged."""
        stored = self.config.get("calibration")
        try:
            return None if stored is None else Calibration.from_dict(stored)
        except ValueError as error:
            raise InputError(f"{self.folder / JOURNAL_FILE}: {error}") from error

    def calibrated(self, predicted_iou: float | None, doubts: Collection[str] = ()) -> float | None:
        """The expected IoU of masks that are predicted ``predicted_iou`` under these ``doubts``; None for None."""
        if predicted_iou is None or self.calibration is None:
            return predicted_iou
        return self.calibration(predicted_iou, bool(doubts))

    def dataset(self) -> Dataset:
        """The data set that was worked on. Raises ``InputError`` if it is not there any more or has changed."""
        opened = open_dataset(from_record(str(self.notes.get("dataset")), self.folder), pictures=False)
        if opened.fingerprint != self.config.get("dataset"):
            raise InputError(
                f"{opened.spec}: has changed since {self.folder} was made; give the run the annotations it was made of"
            )
        return opened

    def records(self) -> Iterator[ObjectRecord | Failure]:
        """The last word on each object: in the data set's order, retried ones after the others.

        Those of :meth:`takes` alone. Raises ``InputError`` naming the line that is no record.
        """
        path = self.folder / JOURNAL_FILE
        retried = self._retried
        seen: Counter[str] = Counter()
        for number, data in enumerate(read_journal(path)[1], 2):
            failure = Failure.from_dict(data)
            try:
                record = failure if failure is not None else ObjectRecord.from_dict(data)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: {error}") from error
            name = record.sample_id if isinstance(record, Failure) else record.object_id
            if name in retried:
                seen[name] += 1
                if seen[name] < retried[name]:
                    continue
            if self.takes(name):
                yield record

    def ids(self) -> Iterator[str]:
        """The ids of the objects that there is a record of."""
        for record in self.records():
            yield record.sample_id if isinstance(record, Failure) else record.object_id

    def takes(self, object_id: str) -> bool:
        """Whether the object is spoken of."""
        return self.chosen is None or object_id in self.chosen

    @property
    def whole(self) -> Run:
        """The run with all its objects."""
        return replace(self, chosen=None, choice="")

    @property
    def made_of_some(self) -> bool:
        """Whether it was made of objects of its data set that were chosen, not of all."""
        return bool(self.config.get("only"))

    def objects(self) -> Iterator[ObjectRecord]:
        """The records of objects that did not fail."""
        return (record for record in self.records() if isinstance(record, ObjectRecord))

    def failures(self) -> Iterator[Failure]:
        """The objects that failed, and why."""
        return (record for record in self.records() if isinstance(record, Failure))

    def costs(self) -> dict[str, float]:
        """What it has cost: objects, seconds, policy_calls, tool_calls, prompt_tokens, completion_tokens."""
        total: defaultdict[str, float] = defaultdict(float)
        for record in read_journal(self.folder / COSTS_FILE)[1]:
            for name, value in record["cost"].items():
                total[name] += value
        return total

    @property
    def num_images(self) -> int:
        """How many images with objects the data set has."""
        return int(self.config.get("num_images", 0))

    def num_images_left(self) -> int:
        """How many of them the run has not come to."""
        done = 0
        for record in read_journal(self.folder / JOURNAL_FILE)[1]:
            number, part, parts = record["unit"]
            if part + 1 == parts:
                done = max(done, number + 1)
        # An image without objects leaves no record, but it has its line among the costs, in the same order.
        costs = self.folder / COSTS_FILE
        later = islice(read_journal(costs)[1], done, None) if costs.is_file() else iter(())
        done += sum(1 for _ in takewhile(lambda record: not record["cost"].get("objects", 1), later))
        return max(self.num_images - done, 0)

    @property
    def _retried(self) -> dict[str, int]:
        """For objects with several records, how many there are."""
        later: Counter[str] = Counter()
        for data in read_journal(self.folder / JOURNAL_FILE)[1]:
            if data["unit"][0] >= self.num_images:
                later[str(data.get("object_id", data.get("sample_id")))] += 1
        return {name: count + 1 for name, count in later.items()}


def guidelines_of(run: Run) -> str:
    """The project's labelling rules that the run was made with; empty without any."""
    told = run.config.get("guidelines", run.notes.get("guidelines", ""))
    return told if isinstance(told, str) else ""


def open_run(folder: str | Path) -> Run:
    """The run in ``folder``. Raises ``InputError`` if there is none."""
    path = Path(folder)
    if not (path / JOURNAL_FILE).is_file():
        raise InputError(f"{path}: no run; expected a folder made by segagent audit, refine or annotate")
    header, _ = read_journal(path / JOURNAL_FILE)
    config, notes = header.get("config"), header.get("notes")
    if not isinstance(config, dict) or not isinstance(notes, dict) or "job" not in config:
        raise InputError(f"{path / JOURNAL_FILE}: not the journal of an audit, refine or annotate run")
    return Run(path, config, notes)
