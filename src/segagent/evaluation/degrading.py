"""Degraded masks to start refinement from: the same for every policy and tool, from a seed and the true mask alone."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, frozen_mask, iou

DEGRADING_VERSION = 1
"""Goes up when the same seed gives another mask."""

LOWEST_IOU, HIGHEST_IOU = 0.4, 0.95
_NEAR = 0.03
_MAX_DRAWS = 40


def degraded(target: BoolMask, rng: np.random.Generator, ignore: BoolMask | None = None) -> BoolMask:
    """A mask (height, width) that is wrong in one of five ways, with an IoU with ``target`` of 0.4 to 0.95.

    The ways, equally likely: too large or too small all around; too coarse, as from a lower resolution; moved; a part
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
        drawn = _draw(target, way, extent * rng.uniform(0.01, 0.6), rng)
        off = abs(iou(drawn, target, ignore) - wanted)
        if off < distance and drawn.any():
            best, distance = drawn, off
        if distance <= _NEAR:
            break
    return frozen_mask(best)


def _draw(target: BoolMask, way: int, reach: float, rng: np.random.Generator) -> BoolMask:
    """``target`` wrong in the given way by about ``reach`` pixels."""
    solid = target.view(np.uint8)
    if way == 0:
        size = 2 * max(1, round(reach / 3)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        changed = cv2.dilate(solid, kernel) if rng.random() < 0.5 else cv2.erode(solid, kernel)
        return changed.astype(np.bool_)
    if way == 1:
        return _coarse(solid, max(2.0, reach), rng)
    if way == 2:
        angle = rng.uniform(0, 2 * np.pi)
        move = np.array([[1, 0, reach * np.cos(angle)], [0, 1, reach * np.sin(angle)]], np.float32)
        height, width = target.shape
        return cv2.warpAffine(solid, move, (width, height), flags=cv2.INTER_NEAREST).astype(np.bool_)
    blob = _blob(target, reach, rng)
    return target & ~blob if way == 3 else target | blob


def _coarse(solid: npt.NDArray[np.uint8], factor: float, rng: np.random.Generator) -> BoolMask:
    height, width = solid.shape
    small = (max(1, round(width / factor)), max(1, round(height / factor)))
    low = cv2.resize(solid.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    again = cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(again > rng.uniform(0.25, 0.75), np.bool_)


def _blob(target: BoolMask, reach: float, rng: np.random.Generator) -> BoolMask:
    """An ellipse of about ``reach`` around a pixel of the object's edge."""
    inner = cv2.erode(target.view(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_)
    rows, columns = np.nonzero(target & ~inner)
    if not rows.size:
        rows, columns = np.nonzero(target)
    chosen = int(rng.integers(rows.size))
    axes = (max(1, round(reach * rng.uniform(0.8, 1.6))), max(1, round(reach * rng.uniform(0.8, 1.6))))
    canvas = np.zeros(target.shape, np.uint8)
    cv2.ellipse(canvas, (int(columns[chosen]), int(rows[chosen])), axes, rng.uniform(0, 180), 0, 360, 1, -1)
    return canvas.astype(np.bool_)
