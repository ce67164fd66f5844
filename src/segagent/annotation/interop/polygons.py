"""Outlines of masks as polygons, for formats that hold nothing better.

An outline runs along the borders of pixels, so a polygon that is not simplified covers the mask's pixels and no other.
Several parts and holes become one polygon: each is joined to the largest part by a bridge of no width, walked there and
back, from where they are nearest. Readers that fill by the even-odd rule then see the parts and holes again.
"""

from __future__ import annotations

from collections import defaultdict

import cv2
import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from segagent.core import BoolMask

Points = npt.NDArray[np.float64]
"""Corners (number, 2) as x, y in pixels; the first is not repeated at the end."""


def outline(mask: BoolMask, tolerance: float = 0.0) -> Points:
    """One closed polygon for a mask with at least one pixel, at most ``tolerance`` pixels off its outline."""
    rings = [_simplified(ring, tolerance) for ring in _rings(mask)]
    rings.sort(key=_area, reverse=True)
    largest = rings[0]
    tree = cKDTree(largest)
    attached: defaultdict[int, list[Points]] = defaultdict(list)
    for ring in rings[1:]:
        distances, nearest = tree.query(ring)
        first = int(np.argmin(distances))
        attached[int(nearest[first])].append(np.roll(ring, -first, axis=0))
    pieces: list[Points] = []
    for place, corner in enumerate(largest):
        pieces.append(corner[None])
        for ring in attached[place]:
            pieces += [ring, ring[:1], corner[None]]
    return np.concatenate(pieces)


def _rings(mask: BoolMask) -> list[Points]:
    """The outlines of all parts and holes along the borders of pixels, corners only."""
    height, width = mask.shape
    padded = np.zeros((height + 2, width + 2), np.bool_)
    padded[1:-1, 1:-1] = mask
    inside = padded[1:-1, 1:-1]
    # Borders with the object on their right: above it to the right, below it to the left, and so on around.
    sides = [
        (inside & ~padded[:-2, 1:-1], (0, 0), (0, 1)),
        (inside & ~padded[1:-1, 2:], (0, 1), (1, 1)),
        (inside & ~padded[2:, 1:-1], (1, 1), (1, 0)),
        (inside & ~padded[1:-1, :-2], (1, 0), (0, 0)),
    ]
    following: defaultdict[int, list[int]] = defaultdict(list)
    for border, start, end in sides:
        rows, columns = np.nonzero(border)
        starts = (rows + start[0]) * (width + 1) + columns + start[1]
        ends = (rows + end[0]) * (width + 1) + columns + end[1]
        for one, other in zip(starts.tolist(), ends.tolist(), strict=True):
            following[one].append(other)
    rings = []
    for begin in list(following):
        while following[begin]:
            corner, path = begin, []
            while following[corner]:
                path.append(corner)
                corner = following[corner].pop()
            places = np.array(path)
            rings.append(_corners(np.stack([places % (width + 1), places // (width + 1)], axis=1).astype(np.float64)))
    return rings


def _corners(ring: Points) -> Points:
    """The points where the outline turns."""
    before, after = np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0)
    turns = ((ring - before) != (after - ring)).any(axis=1)
    return np.asarray(ring[turns])


def _simplified(ring: Points, tolerance: float) -> Points:
    if tolerance <= 0:
        return ring
    fewer = np.asarray(cv2.approxPolyDP(ring.astype(np.float32)[:, None], tolerance, closed=True), np.float64)[:, 0]
    return fewer if len(fewer) >= 3 else ring


def _area(ring: Points) -> float:
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
