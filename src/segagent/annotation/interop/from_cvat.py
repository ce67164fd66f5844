"""CVAT's "CVAT for images 1.1" XML, read as a stream and without trusting it.

``<mask>`` and ``<polygon>`` elements are masks, the attribute ``object_id`` says of which object. Several polygons of
one object are its parts and united; a second mask of it, or a polygon that is another one moved, is a copy.
``<points>`` with ``object_id`` are clicks, negative where the attribute ``positive`` says false. Document types and
entities, which XML bombs are made of, are refused.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.parsers import expat

import numpy as np

from segagent.annotation.interop.entries import Entry, Found, Problem, Sheet, length, seen_in
from segagent.core import BoolMask, Click, InputError
from segagent.datasets.coco_masks import decode_segmentation

_CHUNK = 1 << 16
_SHAPES = ("mask", "polygon", "points", "box", "polyline", "ellipse", "cuboid", "skeleton")


@dataclass(slots=True)
class _Shape:
    kind: str
    own: dict[str, str]
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Image:
    own: dict[str, str]
    shapes: list[_Shape] = field(default_factory=list)


def read_cvat_corrections(path: Path) -> Found:
    """The shapes of all images. Raises ``InputError`` where the file is no such XML."""
    reader = _Reader(path)
    for number, image in enumerate(reader.images()):
        yield from _image_entries(image, number, reader.person)


class _Reader:
    """Gives one image's shapes at a time. ``person``: the task's assignee, or its owner."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: list[str] = []
        self._text = ""
        self._image: _Image | None = None
        self._done: list[_Image] = []
        self.person: str | None = None

    def images(self) -> Iterator[_Image]:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        try:
            with self._path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    parser.Parse(chunk)
                    yield from self._done
                    self._done = []
                parser.Parse(b"", True)
        except OSError as error:
            raise InputError(f"{self._path}: cannot be read ({error.strerror})") from error
        except expat.ExpatError as error:
            raise InputError(f"{self._path}: not valid XML ({error})") from error
        yield from self._done

    def _refuse(self, *_: object) -> None:
        raise InputError(f"{self._path}: has a document type or entities, which no export of CVAT has; refused")

    def _start(self, name: str, own: dict[str, str]) -> None:
        if not self._names and name != "annotations":
            raise InputError(f"{self._path}: its root is <{name:.40}>; expected <annotations>, 'CVAT for images 1.1'")
        if self._names == ["annotations"] and name == "track":
            raise InputError(f"{self._path}: holds tracks; export as 'CVAT for images 1.1', not for video")
        self._names.append(name)
        self._text = ""
        if self._names == ["annotations", "image"]:
            self._image = _Image(own)
        elif self._image is not None and len(self._names) == 3 and name in _SHAPES:
            self._image.shapes.append(_Shape(name, own))
        elif self._image is not None and name == "attribute":
            self._names[-1] = f"attribute {own.get('name', '')}"

    def _characters(self, text: str) -> None:
        self._text += text

    def _end(self, name: str) -> None:
        inner = self._names.pop()
        if self._image is not None:
            if inner.startswith("attribute ") and self._image.shapes:
                self._image.shapes[-1].attributes[inner.removeprefix("attribute ")] = self._text.strip()
            elif name == "image":
                self._done.append(self._image)
                self._image = None
        elif name == "username" and (self._names[-1] == "assignee" or not self.person):
            self.person = self._text.strip() or self.person


def _image_entries(image: _Image, number: int, person: str | None) -> Found:
    name = image.own.get("name", "")
    sheet = str(number)
    yield Sheet(sheet, "cvat", f"image {name!r:.120}", name, person)
    try:
        size = (length(_whole(image.own, "height"), "height"), length(_whole(image.own, "width"), "width"))
    except ValueError as error:
        yield Problem(f"image {name!r:.120}", str(error), sheet)
        return
    objects: defaultdict[tuple[str, str, int], list[_Shape]] = defaultdict(list)
    clicks: defaultdict[str, list[Click]] = defaultdict(list)
    for place, shape in enumerate(image.shapes):
        where = f"image {name!r:.120}, {shape.kind} {place}"
        key = shape.attributes.get("object_id") or ""
        if shape.kind in ("mask", "polygon"):
            label = shape.own.get("label", "")
            part_of = objects[key, label, -1]
            # What is a copy and no part is an object of its own, which one of them keeps the id of.
            copied = not key or not _are_parts(part_of, shape)
            objects[key, label, place if copied else -1].append(shape)
        elif shape.kind == "points" and key:
            try:
                clicks[key] += _clicks(shape, *size)
            except ValueError as error:
                yield Problem(where, str(error))
        elif shape.kind == "points":
            yield Problem(where, "points need the attribute object_id")
        else:
            yield Problem(where, f"a {shape.kind} is no mask; draw a mask or a polygon", sheet)
    for (key, label, _), shapes in objects.items():
        if not shapes:
            continue
        accepted = shapes[0].attributes.get("accepted", "").lower()
        yield Entry(
            where=f"image {name!r:.120}, " + (f"object {key!r:.80}" if key else f"a new mask of {label!r:.80}"),
            sheet=sheet,
            object_id=key or None,
            sure=True,
            label=label or None,
            size=size,
            draw=partial(_drawn, shapes, *size),
            confirmed=any(shape.own.get("source") != "auto" for shape in shapes),
            by=person,
            clicks=tuple(clicks[key]),
            accepted={"true": True, "false": False}.get(accepted),
            seen=_seen(shapes[0]),
        )


def _seen(shape: _Shape) -> int | None:
    try:
        return seen_in(json.loads(shape.attributes.get("provenance", "null")))
    except (ValueError, RecursionError):
        return None


def _are_parts(shapes: Sequence[_Shape], other: _Shape) -> bool:
    """Whether ``other``, of the same id and label, is one more part of the object, not a copy.

    Programs that turn masks into polygons write one polygon per part. Nobody writes a second mask of one object but by
    copying it, unless they were put into one group.
    """
    group = other.own.get("group_id", "0")
    if group != "0" and all(shape.own.get("group_id") == group for shape in shapes):
        return True
    if other.kind == "mask":
        return all(shape.kind == "polygon" for shape in shapes)
    return all(shape.kind == "mask" or not _same_form(shape, other) for shape in shapes)


def _same_form(one: _Shape, other: _Shape) -> bool:
    """Whether one polygon is the other, moved."""
    try:
        a, b = (np.array(_points(shape)) for shape in (one, other))
    except ValueError:
        return False
    return a.shape == b.shape and bool(np.allclose(a - a[0], b - b[0], atol=0.02))


def _drawn(shapes: Sequence[_Shape], height: int, width: int) -> BoolMask:
    united = np.zeros((height, width), np.bool_)
    for shape in shapes:
        if shape.kind == "polygon":
            corners = [number for point in _points(shape) for number in point]
            united |= decode_segmentation([corners], height, width)
            continue
        left, top, wide, high = (_whole(shape.own, key) for key in ("left", "top", "width", "height"))
        if not (left >= 0 and top >= 0 and wide > 0 and high > 0 and left + wide <= width and top + high <= height):
            raise ValueError(f"the mask's box lies outside the picture of {width} x {height} pixels")
        runs = [part.strip() for part in shape.own.get("rle", "").split(",")]
        if not all(re.fullmatch(r"[0-9]{1,12}", run) for run in runs):
            raise ValueError("'rle' must be run lengths separated by commas")
        lengths = [int(run) for run in runs]
        if sum(lengths) != wide * high:
            raise ValueError(f"'rle' describes {sum(lengths)} pixels, its box has {wide} x {high}")
        inside = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(high, wide)
        united[top : top + high, left : left + wide] |= inside
    return united


def _clicks(shape: _Shape, height: int, width: int) -> list[Click]:
    positive = shape.attributes.get("positive", "true").lower() != "false"
    clicks = [Click(int(x), int(y), positive) for x, y in _points(shape)]
    if not all(click.inside(height, width) for click in clicks):
        raise ValueError("a point lies outside the picture")
    return clicks


def _points(shape: _Shape) -> list[tuple[float, float]]:
    number = r"-?[0-9]{1,9}(?:\.[0-9]{1,20})?"
    parts = shape.own.get("points", "").split(";")
    found = [re.fullmatch(rf"\s*({number})\s*,\s*({number})\s*", part) for part in parts]
    if not all(found):
        raise ValueError("'points' must be x,y;x,y;...")
    return [(float(match[1]), float(match[2])) for match in found if match is not None]


def _whole(values: dict[str, str], key: str) -> int:
    text = values.get(key, "")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{key!r} must be a whole number, got {text!r:.40}")
    return int(text)
