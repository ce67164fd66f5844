"""Masks that have gone wrong by chance: to start refinement from, to judge, and to learn both from.

Recorded results and trained weights depend on every draw of these functions, in its order: a change is another
function. Masks spoiled in a named way, to audit and repair, are in :mod:`segagent.datasets.corruption`.
"""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, frozen_mask, iou

_Number = TypeVar("_Number", np.uint8, np.float32)

DEGRADING_VERSION = 1
"""Goes up when the same seed gives another mask of :func:`degraded`."""
LOWEST_IOU, HIGHEST_IOU = 0.4, 0.95
_NEAR = 0.03
_MAX_DRAWS = 40


def degraded(target: BoolMask, rng: np.random.Generator, ignore: BoolMask | None = None) -> BoolMask:
    """A mask (height, width) that is wrong in one of five ways, with an IoU with ``target`` of 0.4 to 0.95.

    Evaluations start refinement from it: the same for every policy and tool, from a seed and the true mask alone. The
    ways, equally likely: too large or too small all around; too coarse, as from a lower resolution; moved; a part
    missing; something beside the object taken in. How bad it is to be is drawn evenly from the range; masks wrong in
    that way by random amounts, in measures of the object's size, are then drawn until one has that IoU within 0.03, at
    most 40, and the closest is taken (of an object of a few pixels it may be far off). Never without a pixel.
    Raises ``ValueError`` for a target without a pixel.
    """
    if not target.any():
        raise ValueError("a target without a single pixel cannot be degraded")
    way = int(rng.integers(5))
    wanted = rng.uniform(LOWEST_IOU, HIGHEST_IOU)
    extent = float(np.sqrt(np.count_nonzero(target)))
    best, distance = target, 1.0
    for _ in range(_MAX_DRAWS):
        drawn = _wrong_by(target, way, extent * rng.uniform(0.01, 0.6), rng)
        off = abs(iou(drawn, target, ignore) - wanted)
        if off < distance and drawn.any():
            best, distance = drawn, off
        if distance <= _NEAR:
            break
    return frozen_mask(best)


def _wrong_by(target: BoolMask, way: int, reach: float, rng: np.random.Generator) -> BoolMask:
    """``target`` wrong in one of the ways of :func:`degraded` by about ``reach`` pixels."""
    solid = target.view(np.uint8)
    if way == 0:
        return _wider_or_narrower(solid, max(1, round(reach / 3)), wider=rng.random() < 0.5) > 0
    if way == 1:
        height, width = target.shape
        factor = max(2.0, reach)
        small = (max(1, round(width / factor)), max(1, round(height / factor)))
        return np.asarray(_coarse(solid.astype(np.float32), small) > rng.uniform(0.25, 0.75), np.bool_)
    if way == 2:
        angle = rng.uniform(0, 2 * np.pi)
        return _moved(solid, reach * np.cos(angle), reach * np.sin(angle), cv2.INTER_NEAREST)
    blob = _blob_at_the_edge(target, reach, rng)
    return target & ~blob if way == 3 else target | blob


def _blob_at_the_edge(target: BoolMask, reach: float, rng: np.random.Generator) -> BoolMask:
    """An ellipse of about ``reach`` around a pixel of the object's edge."""
    inner = cv2.erode(target.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    rows, columns = np.nonzero(target & ~inner)
    if not rows.size:
        rows, columns = np.nonzero(target)
    chosen = int(rng.integers(rows.size))
    axes = (max(1, round(reach * rng.uniform(0.8, 1.6))), max(1, round(reach * rng.uniform(0.8, 1.6))))
    return _ellipse(target.shape, (int(columns[chosen]), int(rows[chosen])), axes, rng)


def damaged(mask: BoolMask, rng: np.random.Generator) -> BoolMask:
    """``mask`` (height, width), grown, shrunk, shifted, cut in two or with a disc added, one of these by chance."""
    height, width = mask.shape
    kind = int(rng.integers(5))
    amount = int(rng.integers(2, max(3, height // 16)))
    layer = mask.astype(np.uint8)
    if kind <= 1:
        return _wider_or_narrower(layer, amount, wider=kind == 0) > 0
    y, x = np.ogrid[:height, :width]
    angle = rng.uniform(0, 2 * np.pi)
    if kind == 2:
        return _moved(layer, 2 * amount * np.cos(angle), 2 * amount * np.sin(angle), cv2.INTER_LINEAR)
    rows, columns = np.nonzero(mask)
    at = int(rng.integers(rows.size)) if rows.size else 0
    row, column = (int(rows[at]), int(columns[at])) if rows.size else (height // 2, width // 2)
    if kind == 3:
        return mask & np.asarray((x - column) * np.cos(angle) + (y - row) * np.sin(angle) > 0, np.bool_)
    return mask | np.asarray((x - column) ** 2 + (y - row) ** 2 <= (2 * amount) ** 2, np.bool_)


def blotted(mask: BoolMask, rng: np.random.Generator, *, add: bool) -> BoolMask | None:
    """``mask`` with one to three turned ellipses about its outline added or taken away; None where nothing is left."""
    rows, columns = np.nonzero(mask)
    extent = float(np.sqrt(rows.size))
    changed = mask
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(rows.size))
        axes = tuple(max(1, int(v)) for v in rng.uniform(0.08, 0.45, 2) * extent)
        away = rng.normal(0, 0.35, 2) * extent * add
        blob = _ellipse(mask.shape, (int(columns[at] + away[0]), int(rows[at] + away[1])), axes, rng)
        changed = changed | blob if add else changed & ~blob
    return changed if changed.any() else None


def faulty_probabilities(target: BoolMask, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A previous mask that is wrong in a random way: float32 in [0, 1], the shape of ``target`` (side, side)."""
    side = target.shape[0]
    kind = rng.random()
    solid = target.astype(np.float32)
    if kind < 0.45:  # too coarse, as a mask found at a lower resolution
        factor = int(rng.integers(2, 9))
        faulty = _coarse(solid, (max(side // factor, 8),) * 2)
        shift = rng.integers(-factor, factor + 1, 2)
        faulty = np.roll(faulty, tuple(int(n) for n in shift), (0, 1))
        faulty = 1 / (1 + np.exp(-(faulty - rng.uniform(0.3, 0.7)) * 10))
    elif kind < 0.65:  # too large or too small
        by = int(rng.integers(1, max(side // 16, 2)))
        faulty = _wider_or_narrower(solid, by, wider=rng.random() < 0.5)
    elif kind < 0.9:  # a part missing, a part too much
        faulty = solid
        for _ in range(int(rng.integers(1, 4))):
            faulty = np.where(_blob_anywhere(side, rng), np.float32(rng.random() < 0.5), faulty)
    else:  # something else altogether
        faulty = _blob_anywhere(side, rng).astype(np.float32)
    if rng.random() < 0.4:
        faulty = (faulty >= 0.5).astype(np.float32)
    return np.ascontiguousarray(faulty, dtype=np.float32)


def _blob_anywhere(side: int, rng: np.random.Generator) -> BoolMask:
    x, y = (int(n) for n in rng.integers(0, side, 2))
    return _ellipse((side, side), (x, y), tuple(int(n) for n in rng.integers(side // 20, side // 4, 2)), rng)


def _ellipse(
    shape: tuple[int, ...], centre: tuple[int, int], axes: tuple[int, ...], rng: np.random.Generator
) -> BoolMask:
    """An ellipse at ``centre`` (x, y), turned by an angle that is drawn."""
    canvas = np.zeros(shape, np.uint8)
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(np.bool_)


def _wider_or_narrower(layer: npt.NDArray[_Number], by: int, *, wider: bool) -> npt.NDArray[_Number]:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    return np.asarray((cv2.dilate if wider else cv2.erode)(layer, kernel), layer.dtype)


def _coarse(solid: npt.NDArray[np.float32], small: tuple[int, int]) -> npt.NDArray[np.float32]:
    """``solid`` as it is found at the size ``small`` (width, height)."""
    low = cv2.resize(solid, small, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(low, solid.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _moved(layer: npt.NDArray[np.uint8], right: float, down: float, interpolation: int) -> BoolMask:
    height, width = layer.shape
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return np.asarray(cv2.warpAffine(layer, move, (width, height), flags=interpolation) > 0, np.bool_)
