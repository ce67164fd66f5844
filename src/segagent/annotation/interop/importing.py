"""``segagent import``: people's corrections of a run, made into a data set, training data and checked masks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from segagent.annotation.batch import Run
from segagent.annotation.batch.checked import mask_digest
from segagent.annotation.interop.answers import Answer, ImageAnswers
from segagent.annotation.interop.corrections import Correction, Matcher
from segagent.annotation.interop.entries import Entry, Problem
from segagent.annotation.interop.learning_data import Beginning, write_trajectories
from segagent.annotation.interop.mask_folder import write_mask_folder
from segagent.annotation.interop.matching import read_corrections
from segagent.annotation.interop.outputs import new_folder, refuse_existing
from segagent.annotation.interop.pairing import Drawn
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.provenance import PROVENANCE_SCHEMA, person_provenance, provenance_of
from segagent.annotation.people import Event, EventKind
from segagent.core import InputError, SegmentationTool, empty_mask
from segagent.core.failures import Failure
from segagent.datasets import FolderDataset
from segagent.environment import GenerationConfig

IMPORT_SCHEMA = "segagent.import/1"
MASKS, TRAJECTORIES, CHECKED = "corrected", "trajectories.jsonl", "checked.json"
EVENTS, PROBLEMS = "events.jsonl", "problems.jsonl"


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """How to read corrections. ``by``: who made them, where the file does not tell; see also :class:`Matcher`."""

    kind: str | None = None
    by: str | None = None
    unchanged_counts: bool = False
    deletions: bool | None = None


@dataclass(frozen=True, slots=True)
class ImportOptions(RecordOptions):
    """And how to make a folder of them."""

    generation: GenerationConfig = GenerationConfig()  # noqa: RUF009 - frozen
    force: bool = False


@dataclass
class Done:
    """What people did, by a file of corrections (``events``), and what of the file tells nothing of it.

    ``num_untouched`` masks are as they were exported; ``num_missing`` objects are not in the file's pictures without
    being known to be removed.
    """

    events: list[Event] = field(default_factory=list)
    num_untouched: int = 0
    num_missing: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def kinds(self) -> Counter[EventKind]:
        """How many events there are of each kind."""
        return Counter(event.kind for event in self.events)

    @property
    def matched(self) -> Counter[str]:
        """How many objects of the events were found by what."""
        return Counter({event.object_id: event.matched for event in self.events if event.matched}.values())


@dataclass
class ImportReport(Done):
    """What came of a file: ``num_masks`` by people, what they did, and how the masks were ``matched``."""

    num_masks: int = 0
    num_trajectories: int = 0
    checked: list[dict[str, object]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)

    @property
    def num_changed(self) -> int:
        """How many of the masks are not the run's."""
        return self.kinds["corrected"] + self.kinds["added"]


def import_corrections(
    run: Run,
    path: str | Path,
    out: str | Path,
    make_tool: Callable[[], SegmentationTool],
    options: ImportOptions = ImportOptions(),
) -> ImportReport:
    """Read what people did to the objects of ``run`` from ``path`` into the new folder ``out``.

    Entries that nothing can be made of are in the report, and in problems.jsonl; the others go on. ``make_tool`` makes
    what turns clicks into masks. Raises ``InputError`` for a file that is no file of corrections, one without anything
    that a person did, and where ``out`` cannot be written; nothing is left behind then.
    """
    source, target = Path(path), Path(out)
    refuse_existing(target, force=options.force)
    matcher = Matcher(
        run,
        read_corrections(source, options.kind),
        unchanged_counts=options.unchanged_counts,
        deletions=options.deletions,
    )
    work = _Import(run, matcher, Pictures(run.dataset()), source.name, options)
    report = work.report
    about = {"schema": IMPORT_SCHEMA, "file": source.name, "dataset": run.notes.get("dataset")}
    with new_folder(target, about, force=options.force) as folder:
        (folder / MASKS).mkdir()
        write_mask_folder(work.images(), work.pictures, folder / MASKS)
        if not report.events:
            reason = report.problems[0] if report.problems else None
            told = f"{reason.where}: {reason.reason}" if reason else f"{report.num_untouched} masks are as exported"
            raise InputError(f"{source}: holds no mask that a person has corrected or confirmed ({told})")
        if report.num_masks:
            report.num_trajectories, report.failures = write_trajectories(
                FolderDataset(folder / MASKS),
                str(target.resolve() / MASKS),
                work.beginnings,
                make_tool(),
                options.generation,
                folder / TRAJECTORIES,
            )
        (folder / CHECKED).write_text(json.dumps(report.checked, indent=0) + "\n", encoding="ascii")
        _write_lines(folder / EVENTS, (event.to_dict() for event in report.events))
        _write_lines(folder / PROBLEMS, ({"where": one.where, "reason": one.reason} for one in report.problems))
    return report


def _write_lines(path: Path, objects: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(one) + "\n" for one in objects), encoding="ascii")


class _Import:
    """One import on its way: ``report`` and ``beginnings`` are filled as the images are drawn from :meth:`images`."""

    def __init__(self, run: Run, matcher: Matcher, pictures: Pictures, source: str, options: ImportOptions) -> None:
        self.run, self.matcher, self.pictures, self.source, self.options = run, matcher, pictures, source, options
        self.report = ImportReport(problems=matcher.problems)
        self.beginnings: dict[str, Beginning] = {}

    def images(self) -> Iterator[ImageAnswers]:
        """The persons' masks; objects of an image that were retried later, and new ones, come with it once more."""
        for image, corrections in groupby(self.matcher.corrections(), key=lambda one: one.record.image):
            found = ImageAnswers(image)
            for one in corrections:
                found.size = (one.record.trajectory.height, one.record.trajectory.width)
                found.answers.append(self._corrected(one))
            yield found
        for image, new in groupby(self.matcher.new, key=lambda one: one[0]):
            found = ImageAnswers(image, self.pictures.size_of(image))
            found.answers = [answer for _, one in new if (answer := self._added(one, image, found.size)) is not None]
            if found.answers:
                yield found
        for record in self.run.objects():
            if record.object_id in self.matcher.removed:
                sheet = self.matcher.removed[record.object_id]
                by = sheet.by or self.options.by
                self._did("removed", record.object_id, record.image, by, sheet.when, sheet.where)
                if record.outcome != "not_found":
                    digest = mask_digest(record)
                    self.report.checked.append({"object_id": record.object_id, "verdict": "wrong", "mask": digest})
        self.report.num_untouched, self.report.num_missing = self.matcher.num_untouched, len(self.matcher.missing)

    def _corrected(self, one: Correction) -> Answer:
        record, entry, by = one.record, one.entry, one.entry.by or self.options.by
        kind: EventKind = "corrected" if one.changed else "confirmed"
        place = (record.object_id, record.image, by, entry.when, entry.where, one.how)
        if one.changed or one.label is None:
            self._did(kind, *place, mask=one.rle if one.changed else None)
        text, category = record.text, record.category
        if one.label is not None:
            # Whether the sentence is still right cannot be told; the label is.
            text, category = one.label, None if category is None else one.label
            self._did("relabelled", *place, label=one.label, was=record.category or record.text)
        elif one.iou is not None:
            # What the run's mask would be worth under another label is not known.
            told = {"object_id": record.object_id, "iou": round(one.iou, 6), "mask": mask_digest(record)}
            self.report.checked.append(told)
        outcome = "relabelled" if one.label is not None and not one.changed else kind
        facts = person_provenance(provenance_of(self.run, record, None), outcome, by, entry.when, self.source)
        facts["text"] = text
        self.beginnings[record.object_id] = Beginning(record.mask, entry.clicks)
        self.report.num_masks += 1
        return Answer(record.object_id, record.image, text, category, outcome, one.rle, True, facts)

    def _added(self, one: Drawn, image: str, size: tuple[int, int] | None) -> Answer | None:
        """None where the mask does not fit the picture, which is a problem."""
        entry, by, label = one.entry, one.entry.by or self.options.by, one.entry.label or ""
        if size != entry.size:
            has = "which cannot be read" if size is None else f"which has {size[1]} x {size[0]} (width x height)"
            reason = f"is for a picture of {entry.size[1]} x {entry.size[0]}, not for {image!r:.120}, {has}"
            self.report.problems.append(Problem(entry.where, reason))
            return None
        object_id = new_object_id(image, entry, one.rle["counts"])
        facts = {"schema": PROVENANCE_SCHEMA, "object_id": object_id, "text": label}
        told = person_provenance(facts, "added", by, entry.when, self.source)
        del told["instead_of"]
        self._did("added", object_id, image, by, entry.when, entry.where, mask=one.rle, label=label)
        self.beginnings[object_id] = Beginning(empty_mask(*entry.size), entry.clicks)
        self.report.num_masks += 1
        return Answer(object_id, image, label, label, "added", one.rle, True, told)

    def _did(
        self,
        kind: EventKind,
        object_id: str,
        image: str,
        by: str | None,
        when: str | None,
        where: str,
        matched: str | None = None,
        **more: Any,
    ) -> None:
        self.report.events.append(Event(kind, object_id, image, by, when, self.source, where, matched, **more))


def new_object_id(image: str, entry: Entry, counts: str) -> str:
    """The id of an object that a person has added: the same whenever the same mask and label are imported."""
    told = json.dumps([image, entry.label, counts])
    return f"person-{hashlib.blake2b(told.encode('utf-8'), digest_size=8).hexdigest()}"
