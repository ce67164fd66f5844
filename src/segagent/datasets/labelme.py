"""Shapes as labelme and its kin write them, each drawn as what its ``shape_type`` says it is.

======================  ============================================================================================
``polygon``, missing    three points or more, filled, outline included (as LISA draws it); also ``rotation`` and
                        ``oriented_rectangle``, whose points are their corners
``rectangle``           two opposite corners, in any order, or all four
``circle``              its centre and a point on its edge
``mask``                the corners of its place, and ``mask``: base64 of a picture that fills it
``point``, ``points``,  have no area: they are no mask, and are told
``line``, ``linestrip``
======================  ============================================================================================

Rectangles, circles and masks cover the pixels that labelme's own ``shape_to_mask`` gives them.
"""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw

from segagent.core import BoolMask, InputError, frozen_mask
from segagent.datasets.listed import is_missing, objects_of, told
from segagent.imaging import load_mask

_MAX_POINTS = 100_000
_NUM_POINTS = {
    "polygon": range(3, _MAX_POINTS),
    "rotation": range(3, _MAX_POINTS),
    "oriented_rectangle": range(3, _MAX_POINTS),
    "rectangle": (2, 4),
    "circle": (2,),
    "mask": (2,),
}
_WITHOUT_AREA = ("point", "points", "line", "linestrip")


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: ``points`` float64 (points, 2) as x, y in pixels, ``stored``: a mask's picture file, else empty."""

    kind: str
    points: npt.NDArray[np.float64]
    ignored: bool
    stored: bytes = b""

    def draw(self, height: int, width: int) -> BoolMask:
        """The pixels it covers, bool (height, width). Raises ``ValueError`` or ``InputError``."""
        if (np.abs(self.points) > 4 * max(height, width)).any():
            raise ValueError(f"a {self.kind} lies far outside the image of {width} x {height} pixels")
        if self.kind == "mask":
            return self._placed(height, width)
        if len(self.points) > 2:
            canvas = np.zeros((height, width), np.uint8)
            corners = [self.points.astype(np.int32)]
            cv2.fillPoly(canvas, corners, (1,))
            cv2.polylines(canvas, corners, isClosed=True, color=(1,))
            return canvas > 0
        picture = PillowImage.new("1", (width, height))
        (x0, y0), (x1, y1) = self.points.tolist()
        if self.kind == "circle":
            radius = math.hypot(x1 - x0, y1 - y0)
            ImageDraw.Draw(picture).ellipse([x0 - radius, y0 - radius, x0 + radius, y0 + radius], fill=1, outline=1)
        else:
            ImageDraw.Draw(picture).rectangle([min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)], fill=1, outline=1)
        return np.array(picture, np.bool_)

    def _placed(self, height: int, width: int) -> BoolMask:
        (x0, y0), (x1, y1) = self.points.astype(np.int64).tolist()
        if not (0 <= x0 <= x1 < width and 0 <= y0 <= y1 < height):
            raise ValueError(f"a mask from {x0},{y0} to {x1},{y1} lies outside the image of {width} x {height} pixels")
        whole = np.zeros((height, width), np.bool_)
        whole[y0 : y1 + 1, x0 : x1 + 1] = load_mask(Path("of a shape"), y1 - y0 + 1, x1 - x0 + 1, content=self.stored)
        return whole


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of one file, drawn when asked for: from the largest to the smallest, as LISA draws them."""

    shapes: tuple[Shape, ...]

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        drawn = [(shape.draw(height, width), shape.ignored) for shape in self.shapes]
        labels = np.zeros((height, width), np.uint8)
        for inside, ignored in sorted(drawn, key=lambda one: -int(one[0].sum())):
            labels[inside] = 2 if ignored else 1
        if not (labels == 1).any():
            raise ValueError("its shapes cover no pixel")
        ignore = labels == 2
        return frozen_mask(labels == 1), frozen_mask(ignore) if ignore.any() else None


def read_shapes(value: Any, where: str) -> Shapes:
    """The shapes of a file's list, those labelled "flag" left out; a label that holds "ignore" marks pixels to ignore.

    Raises ``InputError`` naming the shape that cannot be drawn.
    """
    shapes = []
    for number, entry in enumerate(objects_of(value, where)):
        place = f"{where}[{number}]"
        label = entry.get("label")
        if not isinstance(label, str):
            raise InputError(f"{place}: 'label' must be text, got {told(label)}")
        if label.lower() != "flag":
            shapes.append(_shape(entry, "ignore" in label.lower(), place))
    return Shapes(tuple(shapes))


def _shape(entry: dict[str, Any], ignored: bool, place: str) -> Shape:
    kind, points = entry.get("shape_type"), entry.get("points")
    kind = "polygon" if is_missing(kind) else kind
    if kind in _WITHOUT_AREA:
        raise InputError(
            f"{place}: a shape of type {kind!r} has no area and is no mask; draw a polygon round the object"
        )
    if not isinstance(kind, str) or kind not in _NUM_POINTS:
        raise InputError(f"{place}: 'shape_type' must be one of {', '.join(_NUM_POINTS)}, got {told(kind)}")
    if not isinstance(points, list) or len(points) > _MAX_POINTS or not all(map(_is_point, points)):
        raise InputError(f"{place}: 'points' must be a list of [x, y] in pixels, got {told(points)}")
    wanted = _NUM_POINTS[kind]
    if len(points) not in wanted:
        number = f"{wanted[0]} or more" if isinstance(wanted, range) else " or ".join(map(str, wanted))
        raise InputError(f"{place}: a {kind} has {number} points, got {len(points)}")
    stored = _picture(entry.get("mask"), place) if kind == "mask" else b""
    return Shape(kind, np.array(points, np.float64), ignored, stored)


def _picture(value: Any, place: str) -> bytes:
    try:
        if isinstance(value, str) and value:
            return base64.b64decode(value, validate=True)
    except binascii.Error:
        pass  # Told below.
    raise InputError(f"{place}: a shape of type 'mask' needs 'mask', a picture in base64, got {told(value)}")


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(one) in {int, float} and abs(one) < 1e6 for one in value)
    )
