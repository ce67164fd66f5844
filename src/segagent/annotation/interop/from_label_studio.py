"""Label Studio's JSON export, read: what people made of the tasks.

Predictions are left alone, they are ours. Of several annotations of a task the one updated last counts. A region is
known by its id; one that a person drew anew by its label. Brushes and polygons are masks, key points are clicks. What
people say about a region (choices, texts, ratings ...) carries its id, and is no region.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from segagent.annotation.interop.brush_rle import decode_brush
from segagent.annotation.interop.entries import Entry, Found, Problem, Sheet, length, seen_in, words
from segagent.annotation.interop.label_studio import PICTURE, object_of_region
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.core import BoolMask, Click, InputError
from segagent.datasets.coco_masks import decode_segmentation

_MASKS = ("brushlabels", "brush", "polygonlabels", "polygon")
_POINTS = ("keypointlabels", "keypoint")
_SAID = (
    "choices", "datetime", "labels", "number", "pairwise", "ranker", "rating", "relation", "taxonomy", "text",
    "textarea",
)  # fmt: skip
"""What is said about a region or a task. Its value may repeat the region's."""
_GEOMETRY = ("x", "points", "vertices", "rle", "imageDataURL")

_FAR = 1e6
"""Percent that no person draws; larger whole numbers are none that a fraction can be."""
_SNAP = 1e-3
"""Pixels. Points on the border of two pixels belong to the one that begins there, whatever a percentage rounds to."""


def read_label_studio_corrections(data: list[Any], path: Path) -> Found:
    """The regions of people's annotations. Raises ``InputError`` where the file is no export of tasks."""
    for index, task in enumerate(data):
        if not isinstance(task, dict) or not isinstance(task.get("annotations"), list):
            raise InputError(
                f"{path}, task {index}: has no 'annotations'; give what Label Studio exported (as JSON, not as "
                "JSON-MIN), not the tasks that were to be imported there"
            )
        where = f"task {words(task.get('id')) or index}"
        done = [one for one in task["annotations"] if isinstance(one, dict) and not one.get("was_cancelled")]
        done.sort(key=_when)
        yield from _drafts(task, done, where)
        for earlier in done[:-1]:
            by = _who(earlier.get("completed_by"))
            yield Problem(f"{where}, annotation {words(earlier.get('id'))}", f"by {by}: a later one takes its place")
        if done:
            yield from _annotation(task, done[-1], where, str(index))


def _drafts(task: dict[str, Any], done: Sequence[dict[str, Any]], where: str) -> Found:
    """Drafts with something in them that were not submitted: work that the file's annotations do not have."""
    drafts = task.get("drafts")
    for draft in drafts if isinstance(drafts, list) else []:
        if isinstance(draft, dict) and draft.get("result") and (not done or _when(draft) > _when(done[-1])):
            yield Problem(f"{where}, draft {words(draft.get('id'))}", "was not submitted; submit it and export again")


def _when(annotation: dict[str, Any]) -> str:
    return words(annotation.get("updated_at")) or ""


def _annotation(task: dict[str, Any], annotation: dict[str, Any], where: str, sheet: str) -> Found:
    who = _Who(_who(annotation.get("completed_by")), words(annotation.get("updated_at")))
    yield Sheet(sheet, "label-studio", where, _image_of(task), who.by, who.when)
    results = annotation.get("result")
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        yield Problem(where, "'result' must be a list of regions", sheet)
        return
    regions: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    labels: dict[str, str] = {}
    points: list[dict[str, Any]] = []
    for number, result in enumerate(results):
        kind, value = words(result.get("type")), result.get("value")
        name = words(result.get("id")) or f"region {number}"
        label = label_of(result)
        if label is not None and kind not in _POINTS:
            labels.setdefault(name, label)
        if kind in _MASKS:
            regions[name].append(result)
        elif kind in _POINTS:
            points.append(result)
        elif kind not in _SAID and isinstance(value, dict) and any(key in value for key in _GEOMETRY):
            reason = f"a region of type {kind!r:.40} is no mask; draw it with a brush or as a polygon"
            yield Problem(f"{where}, region {name}", reason, sheet)
    clicks: defaultdict[str, list[Click]] = defaultdict(list)
    for result in points:
        try:
            clicks[_owner(result, list(regions))].append(click_of(result))
        except ValueError as error:
            yield Problem(f"{where}, key point {words(result.get('id'))}", str(error))
    for region, parts in regions.items():
        place = f"{where}, region {region}"
        try:
            yield _entry(region, parts, place, sheet, labels.get(region), tuple(clicks[region]), who)
        except ValueError as error:
            yield Problem(place, str(error), sheet)


@dataclass(frozen=True, slots=True)
class _Who:
    by: str | None
    when: str | None


def _entry(
    region: str,
    parts: Sequence[dict[str, Any]],
    where: str,
    sheet: str,
    label: str | None,
    clicks: tuple[Click, ...],
    who: _Who,
) -> Entry:
    first = parts[0]
    size = (
        length(first.get("original_height"), "original_height"),
        length(first.get("original_width"), "original_width"),
    )
    if any(part.get("image_rotation") for part in parts):
        raise ValueError("the picture was rotated in Label Studio; turn it back and export again")
    meta = first.get("meta")
    facts = meta.get(PROVENANCE_KEY) if isinstance(meta, dict) else None
    told = facts if isinstance(facts, dict) else {}
    accepted = told.get("accepted")
    return Entry(
        where=where,
        sheet=sheet,
        object_id=object_of_region(region) or words(told.get("object_id")),
        sure=True,
        label=label,
        size=size,
        draw=partial(mask_of, parts, *size),
        # An accepted mask was imported as an annotation; as long as it is the same, nobody has looked at it.
        confirmed=accepted is not True,
        by=who.by,
        when=who.when,
        clicks=clicks,
        accepted=accepted if isinstance(accepted, bool) else None,
        seen=seen_in(facts),
    )


def mask_of(parts: Sequence[dict[str, Any]], height: int, width: int) -> BoolMask:
    """The mask of a region's results, brushes and polygons: bool (height, width). Raises ``ValueError``."""
    united = np.zeros((height, width), np.bool_)
    for part in parts:
        value = part.get("value")
        if isinstance(value, dict) and "rle" in value:
            united |= decode_brush(value["rle"], height, width)
        elif isinstance(value, dict) and isinstance(value.get("points"), list):
            corners = [_in_pixels(point, height, width) for point in value["points"]]
            united |= decode_segmentation([[number for corner in corners for number in corner]], height, width)
        else:
            raise ValueError("a region needs 'rle' or 'points'")
    return united


def _in_pixels(point: Any, height: int, width: int) -> tuple[float, float]:
    """A point in percent of the picture."""
    match point:
        case [int() | float() as x, int() | float() as y]:
            if not max(abs(x), abs(y)) < _FAR:
                raise ValueError(f"a point lies far outside the picture: {point!r:.80} in percent of it")
            return float(x) * width / 100, float(y) * height / 100
        case _:
            raise ValueError(f"a point must be [x, y] in percent, got {point!r:.80}")


def click_of(result: dict[str, Any]) -> Click:
    """A key point as a click. Raises ``ValueError``."""
    height, width = length(result.get("original_height"), "height"), length(result.get("original_width"), "width")
    value = result.get("value")
    x, y = _in_pixels([value.get("x"), value.get("y")] if isinstance(value, dict) else None, height, width)
    if not (0 <= x <= width and 0 <= y <= height):
        raise ValueError("the key point lies outside the picture")
    positive = result.get("is_positive")
    if not isinstance(positive, bool):
        positive = label_of(result) != "negative"
    return Click(min(int(x + _SNAP), width - 1), min(int(y + _SNAP), height - 1), positive)


def _owner(result: dict[str, Any], regions: Sequence[str]) -> str:
    parent = words(result.get("parentID"))
    if parent in regions:
        return str(parent)
    if len(regions) == 1:
        return regions[0]
    raise ValueError("belongs to no mask; give it the mask's region as its parent, or click in tasks with one mask")


def label_of(result: dict[str, Any]) -> str | None:
    """The class that a region is given; None where it has none."""
    value = result.get("value")
    for kind in ("brushlabels", "polygonlabels", "labels", "keypointlabels", "rectanglelabels"):
        labels = value.get(kind) if isinstance(value, dict) else None
        if isinstance(labels, list) and labels:
            return words(labels[0])
    return None


def _image_of(task: dict[str, Any]) -> str | None:
    data = task.get("data")
    if not isinstance(data, dict):
        return None
    told = data.get(PROVENANCE_KEY)
    if isinstance(told, dict) and told.get("image") is not None:
        return words(told["image"])
    # Another project's configuration may call the picture something else; then it must be the only text there.
    texts = [value for value in data.values() if isinstance(value, str)]
    address = data.get(PICTURE, texts[0] if len(texts) == 1 else None)
    return unquote(address) if isinstance(address, str) else None


def _who(value: Any) -> str | None:
    """``completed_by``: a number, or an object with an address."""
    if isinstance(value, dict):
        return words(value.get("email")) or words(value.get("id"))
    return words(value)
