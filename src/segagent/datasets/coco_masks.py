"""COCO's three ways to write a mask, read without trusting the numbers, and the two run-length ones written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from segagent.core import BoolMask, Rle, decode_rle
from segagent.datasets.listed import is_missing


def decode_segmentation(segmentation: Any, height: int, width: int) -> BoolMask:
    """Read-only bool mask (height, width) of a COCO ``segmentation``; raises ``ValueError`` saying what is wrong.

    - A list of polygons ``[x0, y0, x1, y1, ...]``, drawn as pycocotools draws them and united.
    - ``{"size": [height, width], "counts": [...]}``: run lengths, column-major, background first.
    - ``{"size": [height, width], "counts": "..."}``: the same, compressed.
    """
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list):
        return _from_counts(_counts(segmentation, height, width), height, width)
    return decode_rle(segmentation_rle(segmentation, height, width))


def segmentation_rle(segmentation: Any, height: int, width: int) -> Rle:
    """A COCO ``segmentation`` as compressed RLE, no pixel of it made. Raises ``ValueError`` saying what is wrong.

    Missing, null and empty are the same thing said in several ways: there is no mask.
    The text of an RLE that is compressed already is given as it is: whether it describes as many pixels as the image
    has is told by whoever reads it.
    """
    if is_no_mask(segmentation):
        raise ValueError("has no segmentation; a box or a label alone is no mask")
    if isinstance(segmentation, dict):
        counts = _counts(segmentation, height, width)
        if isinstance(counts, str):
            return Rle(size=[height, width], counts=counts)
        _check_counts(counts, height, width)
        if height * width >= 2**32:
            raise ValueError(f"an image of {height} x {width} pixels is too large")
        packed = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        return Rle(size=[height, width], counts=packed["counts"].decode("ascii"))
    if not isinstance(segmentation, list):
        raise ValueError(f"'segmentation' must be polygons or an RLE, got {segmentation!r:.60}")
    if is_numbers(segmentation):
        raise ValueError(
            f"'segmentation' is a flat list of {len(segmentation)} numbers; expected a list of polygons [[x0, y0, ...]]"
        )
    polygons = [_polygon(values, index, height, width) for index, values in enumerate(segmentation)]
    united = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return Rle(size=[height, width], counts=united["counts"].decode("ascii"))


def encode_counts(mask: BoolMask) -> dict[str, Any]:
    """COCO's uncompressed RLE of a bool mask (height, width)."""
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], ends, [mask.size]]))
    return {"size": [int(n) for n in mask.shape], "counts": [int(n) for n in runs]}


def is_numbers(values: Any) -> bool:
    """Whether ``values`` is a list of numbers that fit a float."""
    return isinstance(values, list) and all(
        isinstance(value, float) or (type(value) is int and abs(value) < 2**53) for value in values
    )


def is_no_mask(segmentation: Any) -> bool:
    """Whether there is no mask at all: missing, null, a table's "not a number", ``[]``, ``[[]]`` or ``{}``."""
    if isinstance(segmentation, list):
        return all(isinstance(part, list | np.ndarray) and len(part) == 0 for part in segmentation)
    return segmentation == {} or is_missing(segmentation)


def _counts(segmentation: dict[str, Any], height: int, width: int) -> str | list[Any]:
    """The counts of an RLE of the image's size, not looked at any closer."""
    size = segmentation.get("size")
    if not isinstance(size, list) or size != [height, width]:
        swapped = "; the two are swapped" if size == [width, height] else ""
        raise ValueError(f"RLE size is {size!r:.80}, that of the image [{height}, {width}] (height, width){swapped}")
    counts = segmentation.get("counts")
    if not isinstance(counts, list | str):
        raise ValueError(f"RLE counts must be text or a list of numbers, got {type(counts).__name__}")
    return counts


def _check_counts(counts: Sequence[Any], height: int, width: int) -> None:
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in counts):
        raise ValueError("RLE counts must be whole numbers from 0")
    if sum(counts) != height * width:
        raise ValueError(f"RLE counts sum to {sum(counts)}, the image has {height} x {width} pixels")


def _from_counts(counts: Sequence[Any], height: int, width: int) -> BoolMask:
    _check_counts(counts, height, width)
    inside = np.arange(len(counts)) % 2 == 1
    mask: BoolMask = np.ascontiguousarray(np.repeat(inside, counts).reshape(width, height).T)
    mask.setflags(write=False)
    return mask


def _polygon(values: Any, index: int, height: int, width: int) -> list[float]:
    """The polygon as numbers. Wild coordinates are refused, for pycocotools' memory grows with the outline's length."""
    points = np.array(values, np.float64) if isinstance(values, np.ndarray) or is_numbers(values) else np.empty(0)
    if points.ndim != 1 or points.size < 6 or points.size % 2:
        got = f"{points.size} numbers" if points.size else f"{values!r:.60}"
        box = "; four numbers are a box or a line, and no outline" if points.size == 4 else ""
        raise ValueError(f"polygon {index} must be [x0, y0, x1, y1, ...] of at least three points, got {got}{box}")
    xs, ys = points[0::2], points[1::2]
    near = (xs >= -width) & (xs <= 2 * width) & (ys >= -height) & (ys <= 2 * height)
    if not near.all():
        raise ValueError(f"polygon {index} lies far outside the image of {width} x {height} pixels")
    return [float(value) for value in points]
