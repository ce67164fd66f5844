"""Zooming in: which rectangle of the picture the network looks at (the rules of RITM, with SimpleClick's settings)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segagent.core import BoolMask, Click

EXPANSION = 1.4
"""How much larger than the object the rectangle is, along each side."""

MIN_SIDE = 200
"""Least height and width of the rectangle in pixels of the picture."""

KEEP_OVERLAP = 0.5
"""A rectangle in use is kept while its overlap with the one that would be chosen now is at least this."""


@dataclass(frozen=True, slots=True)
class Region:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` of a picture, all inclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Number of rows."""
        return self.bottom - self.top + 1

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.right - self.left + 1

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array with."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)


def choose_region(
    previous: BoolMask | None, in_use: Region | None, clicks: Sequence[Click], shape: tuple[int, int]
) -> Region:
    """The rectangle for the next look at a picture of ``shape`` (height, width).

    ``previous``: where the previous answer was above one half, None before the first. It gives the wanted rectangle:
    around the object and the positive clicks with some room, or all of the picture where there is no object. The one
    ``in_use`` stays unless a positive click is not inside it or the wanted one has become quite another.
    """
    height, width = shape
    positives = [click for click in clicks if click.positive]
    if previous is None or not previous.any():
        wanted = Region(0, height - 1, 0, width - 1)
    else:
        wanted = _around(previous, positives)
    if in_use is None or not all(_inside(in_use, click) for click in positives):
        return wanted
    return in_use if _overlap(wanted, in_use) >= KEEP_OVERLAP else wanted


def _around(mask: BoolMask, positives: Sequence[Click]) -> Region:
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    ys = [int(rows[0]), int(rows[-1]), *(click.y for click in positives)]
    xs = [int(columns[0]), int(columns[-1]), *(click.x for click in positives)]
    top, bottom = _expanded(min(ys), max(ys))
    left, right = _expanded(min(xs), max(xs))
    return Region(max(top, 0), min(bottom, height - 1), max(left, 0), min(right, width - 1))


def _expanded(first: int, last: int) -> tuple[int, int]:
    centre = 0.5 * (first + last)
    extent = max(EXPANSION * (last - first + 1), MIN_SIDE)
    return round(centre - 0.5 * extent), round(centre + 0.5 * extent)


def _inside(region: Region, click: Click) -> bool:
    # The last row and column do not count as inside, in the published rule.
    return region.top <= click.y < region.bottom and region.left <= click.x < region.right


def _overlap(a: Region, b: Region) -> float:
    """Product of the overlaps (intersection over hull) along both axes."""
    return _overlap_1d(a.top, a.bottom, b.top, b.bottom) * _overlap_1d(a.left, a.right, b.left, b.right)


def _overlap_1d(first: int, last: int, other_first: int, other_last: int) -> float:
    shared = max(0, min(last, other_last) - max(first, other_first) + 1)
    return shared / max(1e-6, max(last, other_last) - min(first, other_first) + 1)
