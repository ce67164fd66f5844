"""Strokes and polygons as pixels. Drawn here and not in a browser, so that equal events make equal masks everywhere."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segagent.core import BoolMask, frozen_mask

_BIT = 1e-4
"""Below the least difference between distances of pixels that matter here, above what a float32 root is wrong by."""


def with_stroke(mask: BoolMask, points: Sequence[Sequence[int]], radius: int, positive: bool) -> BoolMask:
    """``mask`` with a brush stroke added, or taken away: bool (height, width), read-only.

    The stroke is every pixel of the picture whose centre lies within ``radius`` pixels (Euclidean, at most equal) of a
    pixel of the path; the path is OpenCV's 8-connected line through ``points`` (x, y), which may lie outside the
    picture. A single point makes a disc; radius 0 is the path alone.
    """
    height, width = mask.shape
    # OpenCV draws no line of one point.
    path = np.array([*points, points[-1]], np.int64)
    # What is farther from the picture than the radius leaves no mark in it.
    low = np.maximum(path.min(axis=0) - radius, -radius)
    high = np.minimum(path.max(axis=0) + radius, np.array([width - 1, height - 1]) + radius)
    if (high < low).any():
        return mask
    far = np.ones((int(high[1] - low[1]) + 1, int(high[0] - low[0]) + 1), np.uint8)
    cv2.polylines(far, [(path - low).astype(np.int32).reshape(-1, 1, 2)], False, 0)
    if far.all():
        return mask
    # Without any pixel off the path there is no distance to take.
    near = cv2.distanceTransform(far, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius + _BIT
    x0, y0 = (max(-int(value), 0) for value in low)
    left, top = (max(int(value), 0) for value in low)
    inside = near[y0 : y0 + height - top, x0 : x0 + width - left]
    drawn = np.array(mask)
    drawn[top : top + inside.shape[0], left : left + inside.shape[1]][inside] = positive
    return frozen_mask(drawn)


def with_polygon(mask: BoolMask, points: Sequence[Sequence[int]], positive: bool) -> BoolMask:
    """``mask`` with a polygon added, or taken away: bool (height, width), read-only.

    The pixels are OpenCV's ``fillPoly`` of ``points`` (x, y): the outline's pixels belong to it, and where it crosses
    itself the even-odd rule decides. Points may lie outside the picture.
    """
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillPoly(filled, [np.array(points, np.int32).reshape(-1, 1, 2)], 1)
    drawn = np.array(mask)
    drawn[filled.astype(np.bool_)] = positive
    return frozen_mask(drawn)
