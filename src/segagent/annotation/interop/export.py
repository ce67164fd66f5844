"""``segagent export``: the masks of a run in the formats that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from segagent.annotation.batch import Run
from segagent.annotation.interop.answers import Answers, Report
from segagent.annotation.interop.coco_fresh import write_fresh_coco
from segagent.annotation.interop.coco_source import write_into_source
from segagent.annotation.interop.outputs import new_file, refuse_existing
from segagent.annotation.interop.pictures import Pictures
from segagent.core import InputError
from segagent.datasets import CocoDataset, Dataset

EXPORT_SCHEMA = "segagent.export/1"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export.

    ``accepted``: ids of the objects whose masks are final; None where that is not asked. ``only_accepted`` leaves the
    others out. ``force`` replaces what is there. ``image_prefix`` stands before image names in Label Studio's tasks.
    ``tolerance``: how far YOLO's polygons may lie from the mask's outline, in pixels.
    """

    accepted: frozenset[str] | None = None
    only_accepted: bool = False
    force: bool = False
    image_prefix: str = "/data/local-files/?d="
    tolerance: float = 0.5

    def __post_init__(self) -> None:
        if self.only_accepted and self.accepted is None:
            raise InputError("leaving out all but the accepted masks needs to know them; give --accept too")
        if not 0 <= self.tolerance <= 100:
            raise InputError(f"the tolerance must lie in 0..100 pixels, got {self.tolerance}")


@dataclass(frozen=True)
class Exporting:
    """What a writer of a format is given."""

    run: Run
    dataset: Dataset
    answers: Answers
    pictures: Pictures
    options: ExportOptions
    report: Report

    def about(self, kind: str) -> dict[str, Any]:
        """What is written into folders to say what they are."""
        return {"schema": EXPORT_SCHEMA, "format": kind, "job": self.run.job, "dataset": self.run.notes.get("dataset")}


Write: TypeAlias = Callable[[Exporting, Path], None]


def _coco(exporting: Exporting, out: Path) -> None:
    dataset = exporting.dataset
    with new_file(out, force=exporting.options.force) as file:
        if isinstance(dataset, CocoDataset):
            exporting.report.more["left_out"] = write_into_source(exporting.answers, dataset.path, file)
        else:
            write_fresh_coco(exporting.answers, exporting.pictures, file)


WRITERS: dict[str, Write] = {"coco": _coco}
"""By name, what writes a format."""


def export_run(run: Run, kind: str, out: str | Path, options: ExportOptions = ExportOptions()) -> Report:
    """Write the masks of ``run`` to ``out`` in the format ``kind``, whole or not at all.

    The same run and options give the same bytes. Objects without a mask (not found, failed) are in the report.
    Raises ``InputError`` for an unknown format, a run that nothing can be made of, or where ``out`` cannot be written.
    """
    if kind not in WRITERS:
        raise InputError(f"format {kind!r:.80}: expected one of {', '.join(WRITERS)}")
    target = Path(out)
    refuse_existing(target, force=options.force)
    dataset = run.dataset()
    answers = Answers(run, options.accepted, only_accepted=options.only_accepted)
    report = answers.survey()
    WRITERS[kind](Exporting(run, dataset, answers, Pictures(dataset), options, report), target)
    return report
