"""COCO with corrected masks: the export given back, its segmentations edited."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from segagent.annotation.interop.entries import Entry, Found, Problem, length, words
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.core import Click, InputError
from segagent.datasets.coco_masks import decode_segmentation


def read_coco_corrections(data: dict[str, Any], path: Path) -> Found:
    """The annotations that are no crowds.

    An object is named by ``segagent.object_id``, ``sample_id`` or ``id``, the first that is there. ``clicks`` of an
    annotation, ``[[x, y, positive], ...]``, are the person's. Raises ``InputError`` where the file is no COCO at all.
    """
    images = {str(entry.get("id")): entry for entry in _objects(data, "images", path)}
    categories = {str(entry.get("id")): words(entry.get("name")) for entry in _objects(data, "categories", path)}
    for index, annotation in enumerate(_objects(data, "annotations", path)):
        where = f"annotations[{index}] (id {annotation.get('id')!r:.40})"
        if annotation.get("iscrowd") and PROVENANCE_KEY not in annotation:
            continue  # A crowd that was taken as an object has a provenance.
        try:
            yield _entry(annotation, images, categories, where)
        except ValueError as error:
            yield Problem(where, str(error))


def _entry(
    annotation: dict[str, Any], images: dict[str, dict[str, Any]], categories: dict[str, str | None], where: str
) -> Entry:
    image = images.get(str(annotation.get("image_id")))
    if image is None:
        raise ValueError(f"image_id {annotation.get('image_id')!r:.80} is not in 'images'")
    height, width = length(image.get("height"), "height"), length(image.get("width"), "width")
    facts = annotation.get(PROVENANCE_KEY)
    told = facts if isinstance(facts, dict) else {}
    name = next((value for value in (told.get("object_id"), annotation.get("sample_id")) if value is not None), None)
    return Entry(
        where=where,
        object_id=words(annotation.get("id") if name is None else name),
        image=words(image.get("file_name")),
        label=categories.get(str(annotation.get("category_id"))),
        size=(height, width),
        draw=partial(decode_segmentation, annotation.get("segmentation"), height, width),
        confirmed=False,
        clicks=tuple(_clicks(annotation.get("clicks", []))),
        kept_given="proposal" in told or told.get("outcome") == "not_found",
    )


def _clicks(value: Any) -> Iterator[Click]:
    if not isinstance(value, list):
        raise ValueError(f"'clicks' must be a list, got {value!r:.80}")
    for click in value:
        match click:
            case [int(x), int(y), bool(positive)] if not isinstance(x, bool) and not isinstance(y, bool):
                yield Click(x, y, positive)
            case _:
                raise ValueError(f"a click must be [x, y, positive], got {click!r:.80}")


def _objects(data: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    entries = data.get(key)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: not COCO annotations; {key!r} must be a list of objects")
    return entries
