"""``segagent export``: the masks of a run in the formats that other programs read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from segagent.annotation.batch import Run
from segagent.annotation.interop import cvat, label_studio
from segagent.annotation.interop.answers import Answers, ImageAnswers, Report
from segagent.annotation.interop.coco_fresh import write_fresh_coco
from segagent.annotation.interop.coco_joined import coco_source
from segagent.annotation.interop.coco_source import write_into_source
from segagent.annotation.interop.mask_folder import write_mask_folder
from segagent.annotation.interop.outputs import new_file, new_folder, refuse_existing
from segagent.annotation.interop.parquet_out import write_parquet
from segagent.annotation.interop.people_trajectories import taught, write_people_trajectories
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.removed import REMOVED_FILE, RemovedList
from segagent.annotation.interop.yolo import write_yolo
from segagent.core import InputError
from segagent.datasets import Dataset, FolderDataset

EXPORT_SCHEMA = "segagent.export/1"


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """How to export.

    ``accepted``: ids of the objects whose masks are final; None where that is not asked. ``only_accepted`` leaves the
    others out. ``force`` replaces what is there. ``image_prefix`` stands before image names in Label Studio's tasks.
    ``tolerance``: how far YOLO's polygons may lie from the mask's outline, in pixels. ``val_share`` of YOLO's pictures
    is for validation, in [0, 1); 0: none, and the training pictures are named for both. ``split_seed`` draws them.
    ``best_tries``: what came nearest to an object that was not found is written as a mask for people to look at; only
    in :data:`FOR_PEOPLE`.
    """

    accepted: frozenset[str] | None = None
    only_accepted: bool = False
    force: bool = False
    image_prefix: str = "/data/local-files/?d="
    tolerance: float = 0.5
    val_share: float = 0.2
    split_seed: int = 0
    best_tries: bool = False

    def __post_init__(self) -> None:
        if self.only_accepted and self.accepted is None:
            raise InputError("leaving out all but the accepted masks needs to know them; give --accept too")
        if not 0 <= self.tolerance <= 100:
            raise InputError(f"the tolerance must lie in 0..100 pixels, got {self.tolerance}")
        if not 0 <= self.val_share < 1:
            raise InputError(f"the share for validation must lie in 0..1 and below 1, got {self.val_share}")


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

    @contextmanager
    def beside(self, out: Path) -> Iterator[RemovedList]:
        """What people have removed, as a file beside the file ``out``; none where nobody has done anything to the run.

        What is known of the annotations can be told until the block ends.
        """
        removed = RemovedList(self.answers)
        if not removed.is_wanted:
            yield removed
            return
        path = out.with_name(f"{out.stem}.{REMOVED_FILE}")
        with new_file(path, force=self.options.force) as file:
            yield removed
            file.write(removed.content())
        self.report.more["removed_by_people"] = f"{len(self.report.removed)}, listed in {path}"

    def within(self, folder: Path) -> None:
        """The same in a folder that is being written."""
        removed = RemovedList(self.answers)
        if removed.is_wanted:
            (folder / REMOVED_FILE).write_bytes(removed.content())
            self.report.more["removed_by_people"] = f"{len(self.report.removed)}, listed in {REMOVED_FILE}"


Write: TypeAlias = Callable[[Exporting, Path], None]


def _coco(exporting: Exporting, out: Path) -> None:
    with (
        coco_source(exporting.dataset) as source,
        new_file(out, force=exporting.options.force) as file,
        exporting.beside(out) as removed,
    ):
        if source is not None and out.resolve() in (one.resolve() for one in source.files):
            raise InputError(f"{out}: is what the run was made of and is never replaced; choose another name")
        if source is not None:
            written = write_into_source(exporting.answers, source.dataset, file, source.names)
            removed.annotations = written.removed
            if exporting.options.only_accepted:
                exporting.report.more["left_out"] = written.num_left_out
        else:
            write_fresh_coco(exporting.answers, exporting.pictures, file)


def _label_studio(exporting: Exporting, out: Path) -> None:
    config = label_studio.config_file(out)
    with (
        new_file(out, force=exporting.options.force) as file,
        new_file(config, force=exporting.options.force) as beside,
        exporting.beside(out),
    ):
        label_studio.write_label_studio(exporting.answers, exporting.pictures, exporting.options.image_prefix, file)
        beside.write(label_studio.labelling_config(exporting.answers.labels).encode("utf-8"))
    exporting.report.more["config"] = str(config)


def _cvat(exporting: Exporting, out: Path) -> None:
    labels = cvat.labels_file(out)
    with (
        new_file(out, force=exporting.options.force) as file,
        new_file(labels, force=exporting.options.force) as beside,
        exporting.beside(out),
    ):
        cvat.write_cvat(exporting.answers, exporting.pictures, file)
        beside.write(json.dumps(cvat.label_definitions(exporting.answers.labels), indent=1).encode("ascii") + b"\n")
    exporting.report.more["labels"] = str(labels)


def _yolo(exporting: Exporting, out: Path) -> None:
    with new_folder(out, exporting.about("yolo-seg"), force=exporting.options.force) as folder:
        write_yolo(
            exporting.answers,
            exporting.pictures,
            folder,
            exporting.report,
            tolerance=exporting.options.tolerance,
            val_share=exporting.options.val_share,
            split_seed=exporting.options.split_seed,
        )
        exporting.within(folder)


def _masks(exporting: Exporting, out: Path) -> None:
    with new_folder(out, exporting.about("masks"), force=exporting.options.force) as folder:
        write_mask_folder(exporting.answers.by_image(), exporting.pictures, folder)
        exporting.within(folder)


def _parquet(exporting: Exporting, out: Path) -> None:
    with new_file(out, force=exporting.options.force) as file, exporting.beside(out):
        write_parquet(exporting.answers, exporting.pictures, file)


def _trajectories(exporting: Exporting, out: Path) -> None:
    data, report = trajectory_data(out), exporting.report
    found: Counter[str] = Counter()

    def counted() -> Iterator[ImageAnswers]:
        for image in taught(exporting.answers):
            found.update(answer.outcome for answer in image.answers)
            yield image

    with (
        new_file(out, force=exporting.options.force) as file,
        new_folder(data, exporting.about("trajectories"), force=exporting.options.force) as folder,
    ):
        write_mask_folder(counted(), exporting.pictures, folder)
        if not found:
            raise InputError(f"{exporting.run.folder}: holds no mask that a person has made; there is nothing to teach")
        with TemporaryDirectory() as aside:
            journal = Path(aside) / out.name
            objects = {one.object_id: one for one in exporting.answers.left() if one.standing is not None}
            number = write_people_trajectories(
                exporting.run, objects, FolderDataset(folder), str(data.resolve()), journal
            )
            file.write(journal.read_bytes())
    report.written, report.without = found, []
    report.more |= {"trajectories": number, "data": str(data)}


def trajectory_data(out: Path) -> Path:
    """Where the data set lies that a file of trajectories is about."""
    return out.with_name(f"{out.stem}.data")


WRITERS: dict[str, Write] = {
    "coco": _coco,
    "label-studio": _label_studio,
    "cvat": _cvat,
    "yolo-seg": _yolo,
    "masks": _masks,
    "parquet": _parquet,
}
"""By name, what writes a format."""

TRAJECTORIES = "trajectories"
"""What people clicked, which is for training and no format of masks."""

FOR_PEOPLE = ("label-studio", "cvat")
"""Formats whose masks people look at before anything is made of them."""


def export_run(run: Run, kind: str, out: str | Path, options: ExportOptions = ExportOptions()) -> Report:
    """Write the masks of ``run`` to ``out`` in the format ``kind``, whole or not at all.

    Masks, classes and objects are as people left them; :data:`TRAJECTORIES` are their clicks. The same run, events and
    options give the same bytes. Objects without a mask (not found, failed) are in the report.
    Raises ``InputError`` for an unknown format, a run that nothing can be made of, or where ``out`` cannot be written.
    """
    write = {**WRITERS, TRAJECTORIES: _trajectories}.get(kind)
    if write is None:
        raise InputError(f"format {kind!r:.80}: expected one of {', '.join(WRITERS)} or {TRAJECTORIES}")
    if options.best_tries and kind not in FOR_PEOPLE:
        raise InputError(
            f"format {kind!r}: holds final masks, and an object that was not found has none; best tries go into "
            f"{' and '.join(FOR_PEOPLE)} only"
        )
    target = Path(out)
    refuse_existing(target, force=options.force)
    dataset = run.dataset()
    answers = Answers(
        run, dataset, options.accepted, only_accepted=options.only_accepted, best_tries=options.best_tries
    )
    report = answers.survey()
    write(Exporting(run, dataset, answers, Pictures(dataset), options, report), target)
    return report
