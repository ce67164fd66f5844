"""Views: rectangles of a picture that are resized to the square the network reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Click

Rectangle: TypeAlias = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the picture, x1 and y1 exclusive."""

DISK_RADIUS = 4 / 256
"""Radius of a click's disk as a fraction of the view's side."""

_SHIFT = 4
_MARGIN = 0.25
_WORTH_ZOOMING = 0.6


def click_disks(clicks: Sequence[tuple[float, float, bool]], side: int) -> npt.NDArray[np.float32]:
    """Disks of positive (channel 0) and negative (1) clicks, float32 0 or 1, (2, side, side).

    ``clicks``: (x, y, positive), x and y as fractions of the view's width and height; a newer click covers an older.
    """
    canvas = np.zeros((2, side, side), np.uint8)
    scale = side * (1 << _SHIFT)
    radius = round(DISK_RADIUS * scale)
    for x, y, positive in clicks:
        centre = (round(x * scale), round(y * scale))
        cv2.circle(canvas[0], centre, radius, int(positive), -1, shift=_SHIFT)
        cv2.circle(canvas[1], centre, radius, int(not positive), -1, shift=_SHIFT)
    return canvas.astype(np.float32)


def box_fill(box: tuple[float, float, float, float] | None, side: int) -> npt.NDArray[np.float32]:
    """The box of a view as float32 (side, side), each pixel the share of it inside; all 0 without a box.

    ``box``: x0, y0, x1, y1 as fractions of the view's width and height.
    """
    if box is None:
        return np.zeros((side, side), np.float32)
    edges = np.arange(side + 1, dtype=np.float32)

    def covered(low: float, high: float) -> npt.NDArray[np.float32]:
        inside = np.clip(edges, low * side, high * side)
        return np.asarray(inside[1:] - inside[:-1], np.float32)

    return np.outer(covered(box[1], box[3]), covered(box[0], box[2])).astype(np.float32)


def resized(values: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """``values`` (rows, columns[, 3]) resized to (height, width[, 3]): averaged when shrunk, else bilinear."""
    shrinks = height * width < values.shape[0] * values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (width, height), interpolation=method), values.dtype)


def resized_part(values: npt.NDArray[Any], part: Rectangle, side: int) -> npt.NDArray[Any]:
    """Rectangle ``part`` of ``values`` (height, width[, 3]) resized to (side, side[, 3])."""
    x0, y0, x1, y1 = part
    return resized(np.ascontiguousarray(values[y0:y1, x0:x1]), side, side)


def around_object(mask: BoolMask, inside: Sequence[Click]) -> Rectangle | None:
    """The rectangle worth a closer look: mask, positive clicks and some room; None where zooming gains little."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    xs = [c.x for c in inside] + ([int(columns[0]), int(columns[-1])] if columns.size else [])
    ys = [c.y for c in inside] + ([int(rows[0]), int(rows[-1])] if rows.size else [])
    if not xs:
        return None
    extent_x, extent_y = max(xs) + 1 - min(xs), max(ys) + 1 - min(ys)
    # At least a sixth of the picture: a single click on an empty mask says nothing about the size.
    extent_x = max(extent_x, extent_y // 2, width // 8)
    extent_y = max(extent_y, extent_x // 2, height // 8)
    if max(extent_x / width, extent_y / height) > _WORTH_ZOOMING:
        return None
    x0, x1 = _stretch(min(xs), max(xs) + 1, round(extent_x * (1 + 2 * _MARGIN)), width)
    y0, y1 = _stretch(min(ys), max(ys) + 1, round(extent_y * (1 + 2 * _MARGIN)), height)
    return x0, y0, x1, y1


def runs_out_of(mask: BoolMask, part: Rectangle, height: int, width: int) -> bool:
    """Whether the object of a view of ``part`` (mask (side, side)) goes on beyond it within the picture."""
    x0, y0, x1, y1 = part
    lines = [
        line
        for inner, line in (
            (x0 > 0, mask[:, 0]),
            (y0 > 0, mask[0]),
            (x1 < width, mask[:, -1]),
            (y1 < height, mask[-1]),
        )
        if inner
    ]
    return any(int(line.sum()) > mask.shape[0] // 50 for line in lines)


def _stretch(low: int, high: int, extent: int, limit: int) -> tuple[int, int]:
    """A range of about ``extent`` around the middle of ``low`` .. ``high`` within 0 .. ``limit``."""
    extent = max(min(extent, limit), 1)
    first = min(max((low + high - extent) // 2, 0), limit - extent)
    return first, first + extent
