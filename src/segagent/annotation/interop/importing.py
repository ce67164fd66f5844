"""``segagent import``: people's corrections of a run, made into a data set, training data and checked masks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from segagent.annotation.batch import Run
from segagent.annotation.interop.answers import Answer, ImageAnswers
from segagent.annotation.interop.entries import Problem
from segagent.annotation.interop.learning_data import Beginning, write_trajectories
from segagent.annotation.interop.mask_folder import write_mask_folder
from segagent.annotation.interop.matching import Correction, Matcher, read_corrections
from segagent.annotation.interop.outputs import new_folder, refuse_existing
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.provenance import person_provenance, provenance_of
from segagent.core import InputError, SegmentationTool, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import FolderDataset
from segagent.environment import GenerationConfig

IMPORT_SCHEMA = "segagent.import/1"
MASKS, TRAJECTORIES, CHECKED, PROBLEMS = "corrected", "trajectories.jsonl", "checked.json", "problems.jsonl"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to read corrections. ``by``: who made them, where the file does not tell; see also :class:`Matcher`."""

    kind: str | None = None
    by: str | None = None
    unchanged_counts: bool = False
    generation: GenerationConfig = GenerationConfig()  # noqa: RUF009 - frozen
    force: bool = False


@dataclass
class ImportReport:
    """What came of a file. ``num_changed`` of the ``num_masks`` differ from the run's."""

    num_masks: int = 0
    num_changed: int = 0
    num_untouched: int = 0
    num_trajectories: int = 0
    checked: list[dict[str, object]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def import_corrections(
    run: Run,
    path: str | Path,
    out: str | Path,
    make_tool: Callable[[], SegmentationTool],
    options: ImportOptions = ImportOptions(),
) -> ImportReport:
    """Read people's masks for objects of ``run`` from ``path`` into the new folder ``out``.

    Entries that nothing can be made of are in the report, and in problems.jsonl; the others go on. ``make_tool`` makes
    what turns clicks into masks. Raises ``InputError`` for a file that is no file of corrections, one without a usable
    entry, and where ``out`` cannot be written; nothing is left behind then.
    """
    source, target = Path(path), Path(out)
    refuse_existing(target, force=options.force)
    matcher = Matcher(run, read_corrections(source, options.kind), unchanged_counts=options.unchanged_counts)
    pictures = Pictures(run.dataset())
    report = ImportReport()
    beginnings: dict[str, Beginning] = {}
    about = {"schema": IMPORT_SCHEMA, "file": source.name, "dataset": run.notes.get("dataset")}
    with new_folder(target, about, force=options.force) as folder:
        images = _by_image(matcher, run, source.name, options, report, beginnings)
        (folder / MASKS).mkdir()
        write_mask_folder(images, pictures, folder / MASKS)
        report.problems, report.num_untouched = matcher.problems, matcher.num_untouched
        if not report.num_masks:
            reason = report.problems[0] if report.problems else None
            told = f"{reason.where}: {reason.reason}" if reason else f"{matcher.num_untouched} masks are as exported"
            raise InputError(f"{source}: holds no mask that a person has corrected or confirmed ({told})")
        report.num_trajectories, report.failures = write_trajectories(
            FolderDataset(folder / MASKS),
            str(target.resolve() / MASKS),
            beginnings,
            make_tool(),
            options.generation,
            folder / TRAJECTORIES,
        )
        (folder / CHECKED).write_text(json.dumps(report.checked, indent=0) + "\n", encoding="ascii")
        lines = [json.dumps({"where": one.where, "reason": one.reason}) + "\n" for one in report.problems]
        (folder / PROBLEMS).write_text("".join(lines), encoding="ascii")
    return report


def _by_image(
    matcher: Matcher,
    run: Run,
    source: str,
    options: ImportOptions,
    report: ImportReport,
    beginnings: dict[str, Beginning],
) -> Iterator[ImageAnswers]:
    """The persons' masks, counted on the way; objects of an image that were retried later come with it once more."""
    for image, corrections in groupby(matcher.corrections(), key=lambda one: one.record.image):
        found = ImageAnswers(image)
        for one in corrections:
            trajectory = one.record.trajectory
            found.size = (trajectory.height, trajectory.width)
            found.answers.append(_answer(run, one, source, options))
            beginnings[one.record.object_id] = Beginning(trajectory.mask_at(trajectory.returned), one.entry.clicks)
            report.num_masks += 1
            report.num_changed += one.iou != 1.0
            if one.iou is not None:
                report.checked.append({"object_id": one.record.object_id, "iou": round(one.iou, 6)})
        yield found


def _answer(run: Run, one: Correction, source: str, options: ImportOptions) -> Answer:
    facts = provenance_of(run, one.record, None)
    outcome = "confirmed" if one.iou == 1 else "corrected"
    told = person_provenance(facts, outcome, one.entry.by or options.by, one.entry.when, source)
    record = one.record
    rle = encode_rle(one.mask)
    return Answer(record.object_id, record.image, record.text, record.category, outcome, rle, None, True, told)
