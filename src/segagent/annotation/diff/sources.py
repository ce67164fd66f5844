"""What is compared: the annotations of a COCO file, or the answers of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from segagent.annotation.batch import Run, open_run, unfinished
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.annotation.interop.entries import words
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.annotation.people import GONE, objects_left
from segagent.annotation.review.entries import num_records
from segagent.core import Image, InputError, Rle
from segagent.core.rle import rle_areas
from segagent.datasets.coco_listing import BadAnnotation, CocoListing

_TOGETHER = 128


@dataclass(frozen=True, slots=True)
class Annotation:
    """One mask and what is said of it. ``other``: further keys, each as JSON; None where the source knows none.

    ``bbox`` as listed (left, top, width, height), None where it is not. ``area``: pixels of the mask. ``object_id``:
    which object of a run it is, and ``added`` whether a person has added it, as a run and its exports know.
    ``is_told``: whether that is said of this very mask, by an export, or by the record of who has drawn it.
    """

    annotation_id: str
    image: str
    category: str | None
    rle: Rle
    area: int
    bbox: tuple[float, ...] | None = None
    other: dict[str, str] | None = None
    object_id: str | None = None
    added: bool = False
    is_told: bool = False


@dataclass
class Source:
    """All that one side holds. ``bad``: ids of entries that cannot be compared; ``problems`` says what is wrong.

    ``images``: the names of all its pictures, also of those without an annotation.
    ``load_image``: None where there are no images, and ``no_images`` says why.
    """

    name: str
    annotations: list[Annotation] = field(default_factory=list)
    bad: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    images: dict[str, None] = field(default_factory=dict)
    load_image: Callable[[str], Image] | None = None
    no_images: str = ""


def open_source(
    path: str | Path, images: str | Path | None = None, watch: Callable[[int, int], None] = lambda done, total: None
) -> Source:
    """The annotations of the COCO file or run folder at ``path``; a file's images are looked up in ``images``.

    ``watch`` is told (annotations read, entries). Raises ``InputError`` for what is neither, and for a file whose
    images or categories are not right; a bad annotation is told in the source's problems.
    """
    where = Path(path)
    if where.is_dir() and not (where / JOURNAL_FILE).is_file():
        raise InputError(f"{where}: no run; expected a COCO .json file or a folder made by audit, refine or annotate")
    source = Source(str(path))
    if where.is_dir():
        run = open_run(where)
        total = num_records(run)
        found = _of_run(run, source)
    else:
        listing = CocoListing(where, images)
        source.images = dict.fromkeys(listing.image_names)
        if listing.images_dir.is_dir() and listing.has_images:
            source.load_image = listing.load_image
        elif images is not None:
            raise InputError(f"{images}: no such folder; --images names the folder with the images")
        else:
            source.no_images = f"{where}: no images found beside it; tell with --images where they are"
        total = len(listing)
        found = _of_file(listing, source)
    for number, annotation in enumerate(_measured(found, source), 1):
        source.annotations.append(annotation)
        watch(number, total)
    return source


def _of_file(listing: CocoListing, source: Source) -> Iterator[Annotation]:
    for one in listing:
        if isinstance(one, BadAnnotation):
            source.problems.append(one.reason)
            if one.annotation_id is not None:
                source.bad.add(one.annotation_id)
        else:
            # Polygons, be they within other keys, were packed as they were read.
            other = {k: json.dumps(value, sort_keys=True, default=np.ndarray.tolist) for k, value in one.other.items()}
            facts = one.other.get(PROVENANCE_KEY)
            told = facts if isinstance(facts, dict) else {}
            object_id = words(told.get("object_id"))
            added = told.get("outcome") == "added"
            yield Annotation(
                one.annotation_id,
                one.image,
                one.category,
                one.rle,
                0,
                one.bbox,
                other,
                object_id,
                added,
                object_id is not None,
            )


def _of_run(run: Run, source: Source) -> Iterator[Annotation]:
    if words := unfinished(run.num_images_left(), run.num_images):
        source.problems.append(f"{run.folder}: {words}")
    dataset = None
    try:
        dataset = run.dataset()
        source.load_image = dataset.load_image
        # What the run has not come to, or was not to look at, is not removed.
        if run.made_of_some:
            source.bad |= {sample.sample_id for sample in dataset} - set(run.ids())
        else:
            for group in islice(dataset.groups(), run.num_images - run.num_images_left(), None):
                source.bad |= {sample.sample_id for sample in group.samples()}
    except InputError as error:
        source.no_images = str(error)
    for one in objects_left(run, dataset):
        if one.record is not None or one.failure is not None:
            source.images[one.image] = None
        rle = None if one.stands in GONE else one.rle
        if one.stands in GONE:
            source.bad.discard(one.object_id)
        elif rle is not None and (rle_areas([rle])[0] or not one.changed):
            source.bad.discard(one.object_id)
            source.images[one.image] = None
            yield Annotation(
                one.object_id,
                one.image,
                one.category or one.text,
                rle,
                0,
                object_id=one.object_id,
                added=one.added,
                is_told=one.changed,
            )
        elif one.failure is not None:
            source.problems.append(f"{run.folder}: object {one.object_id:.80} failed: {one.failure.reason}")
            source.bad.add(one.object_id)


def _measured(found: Iterable[Annotation], source: Source) -> Iterator[Annotation]:
    """With the mask's area; those whose RLE is no mask of the image become problems."""
    waiting: list[Annotation] = []
    for one in found:
        waiting.append(one)
        if len(waiting) == _TOGETHER:
            yield from _with_areas(waiting, source)
            waiting = []
    if waiting:
        yield from _with_areas(waiting, source)


def _with_areas(annotations: list[Annotation], source: Source) -> Iterator[Annotation]:
    try:
        areas = rle_areas([one.rle for one in annotations])
    except ValueError as error:
        if len(annotations) > 1:
            for one in annotations:
                yield from _with_areas([one], source)
            return
        (bad,) = annotations
        source.problems.append(f"{source.name}, annotation id {bad.annotation_id:.80}: {error}")
        source.bad.add(bad.annotation_id)
        return
    for one, area in zip(annotations, areas, strict=True):
        yield replace(one, area=int(area))
