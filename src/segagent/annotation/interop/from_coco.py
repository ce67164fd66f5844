"""COCO with corrected masks: the export given back, its segmentations edited."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from segagent.annotation.interop.entries import Entry, Found, Problem, Sheet, length, seen_in, words
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.core import Click, InputError
from segagent.datasets.coco_masks import decode_segmentation


def read_coco_corrections(data: dict[str, Any], path: Path) -> Found:
    """The annotations of all images.

    An object is named by ``segagent.object_id``, ``object_id`` or ``sample_id``, which are ours, or else by ``id``,
    which other programs give anew. ``clicks`` of an annotation, ``[[x, y, positive], ...]``, are the person's. Raises
    ``InputError`` where the file is no COCO at all.
    """
    images = {words(entry.get("id")): entry for entry in _objects(data, "images", path)}
    categories = {words(entry.get("id")): words(entry.get("name")) for entry in _objects(data, "categories", path)}
    for key, image in images.items():
        name = words(image.get("file_name"))
        yield Sheet(str(key), "coco", f"image {name!r:.120}", name)
    for index, annotation in enumerate(_objects(data, "annotations", path)):
        where = f"annotations[{index}] (id {annotation.get('id')!r:.40})"
        sheet = words(annotation.get("image_id"))
        try:
            if sheet not in images or sheet is None:
                raise ValueError(f"image_id {annotation.get('image_id')!r:.80} is not in 'images'")
            yield _entry(annotation, sheet, images[sheet], categories, where)
        except ValueError as error:
            if not annotation.get("iscrowd"):
                yield Problem(where, str(error), sheet, _named(annotation)[0])


def _entry(
    annotation: dict[str, Any], sheet: str, image: dict[str, Any], categories: dict[str | None, str | None], where: str
) -> Entry:
    height, width = length(image.get("height"), "height"), length(image.get("width"), "width")
    facts = annotation.get(PROVENANCE_KEY)
    told = facts if isinstance(facts, dict) else {}
    object_id, sure = _named(annotation)
    accepted = told.get("accepted")
    return Entry(
        where=where,
        sheet=sheet,
        object_id=object_id,
        sure=sure,
        label=categories.get(words(annotation.get("category_id"))),
        size=(height, width),
        draw=partial(decode_segmentation, annotation.get("segmentation"), height, width),
        confirmed=False,
        clicks=tuple(_clicks(annotation.get("clicks", []))),
        kept_given=("proposal" in told or told.get("outcome") == "not_found") if told else None,
        accepted=accepted if isinstance(accepted, bool) else None,
        crowd=bool(annotation.get("iscrowd")),
        blank=annotation.get("segmentation") in (None, []),
        seen=seen_in(facts),
    )


def _named(annotation: dict[str, Any]) -> tuple[str | None, bool]:
    """The object's id, and whether it is ours."""
    facts = annotation.get(PROVENANCE_KEY)
    named = [facts.get("object_id") if isinstance(facts, dict) else None]
    named += [annotation.get(key) for key in ("object_id", "sample_id")]
    ours = next((value for value in named if value is not None), None)
    return words(annotation.get("id") if ours is None else ours), ours is not None


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
