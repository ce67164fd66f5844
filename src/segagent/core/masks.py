"""Masks (always bool, (height, width)), their overlap, and COCO run-length encoding."""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

BoolMask: TypeAlias = npt.NDArray[np.bool_]


class Rle(TypedDict):
    """COCO compressed run-length encoding: ``size`` is [height, width], ``counts`` is ASCII text, column-major."""

    size: list[int]
    counts: str


def frozen_mask(mask: npt.NDArray[Any]) -> BoolMask:
    """A read-only bool copy of ``mask`` (height, width); non-zero means inside.

    An array that already is bool and read-only is returned as it is. Raises ``ValueError`` unless 2-D.
    """
    if mask.ndim != 2:
        raise ValueError(f"a mask has two axes (height, width), got shape {mask.shape}")
    if mask.dtype == np.bool_ and not mask.flags.writeable:
        return mask
    copy: BoolMask = mask.astype(np.bool_)
    copy.setflags(write=False)
    return copy


def empty_mask(height: int, width: int) -> BoolMask:
    """The read-only all-background mask."""
    mask = np.zeros((height, width), np.bool_)
    mask.setflags(write=False)
    return mask


def encode_rle(mask: BoolMask) -> Rle:
    """COCO RLE of a bool mask (height, width)."""
    encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return Rle(size=[int(encoded["size"][0]), int(encoded["size"][1])], counts=encoded["counts"].decode("ascii"))


def decode_rle(rle: Rle) -> BoolMask:
    """Read-only bool mask (height, width) of a COCO RLE. Raises ``ValueError`` on a malformed one.

    Read here rather than by pycocotools, which writes out of bounds when the counts do not fit the size.
    """
    try:
        height, width = (int(n) for n in rle["size"])
        counts = rle["counts"].encode("ascii")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not a compressed COCO RLE: {error}") from error
    runs = _run_lengths(counts)
    if height < 0 or width < 0 or sum(runs) != height * width:
        raise ValueError(f"RLE counts do not describe {height} x {width} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    columns = np.repeat(inside, runs).reshape(width, height)
    mask = np.ascontiguousarray(columns.T)
    mask.setflags(write=False)
    return mask


def _run_lengths(counts: bytes) -> list[int]:
    """Lengths of the alternating runs: little-endian groups of 5 bits, from the third on as differences."""
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        code = byte - 48
        if not 0 <= code < 64 or shift > 60:
            raise ValueError("RLE counts hold a character that no encoder writes")
        value |= (code & 0x1F) << shift
        shift += 5
        if not code & 0x20:
            if code & 0x10:
                value |= -1 << shift
            if len(runs) > 2:
                value += runs[-2]
            if value < 0:
                raise ValueError("RLE counts hold a negative run")
            runs.append(value)
            value = shift = 0
    if shift:
        raise ValueError("RLE counts end in the middle of a run")
    return runs


def intersection_and_union(a: BoolMask, b: BoolMask, ignore: BoolMask | None = None) -> tuple[int, int]:
    """Pixel counts of the overlap and of the union of two masks, pixels of ``ignore`` left out of both."""
    if a.shape != b.shape:
        raise ValueError(f"masks differ in size: {a.shape} and {b.shape}")
    if ignore is not None:
        keep = ~ignore
        a, b = a & keep, b & keep
    intersection = int(np.count_nonzero(a & b))
    return intersection, int(np.count_nonzero(a)) + int(np.count_nonzero(b)) - intersection


def iou(a: BoolMask, b: BoolMask, ignore: BoolMask | None = None) -> float:
    """Intersection over union in [0, 1]; two empty masks agree, so their IoU is 1."""
    intersection, union = intersection_and_union(a, b, ignore)
    return intersection / union if union else 1.0
