"""The simulated annotator: where a person who knows the target would click next (paper section 4.1, Alg. 3).

The rule is that of the interactive-segmentation benchmarks (RITM's ``Clicker``): click the pixel deepest inside the
larger of the two errors, missed object (positive click) or covered background (negative click). "Deepest" is by the
Euclidean distance to the nearest pixel that is not part of the error, everything outside the image counting as such.

The result is that of the plain full-image rule, exactly, but the costly exact distances are taken only where the
deepest pixel can be. The city-block distance d1 is cheap, and d1 / sqrt(2) <= d <= d1 for the Euclidean distance d. So
only pixels whose d1 is at least the largest d1 over sqrt(2) can be deepest, what decides their distances lies within
the largest d1 of them, and an error whose largest d1 is below the depth already found need not be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core.actions import Click
from segagent.core.masks import BoolMask


def next_click(
    mask: BoolMask,
    target: BoolMask,
    clicked: Iterable[Click | tuple[int, int]] = (),
    ignore: BoolMask | None = None,
) -> Click | None:
    """The simulated annotator's next click, or None where there is no error left that could be clicked.

    Args:
        mask: the current mask, bool (height, width).
        target: the target mask, bool (height, width).
        clicked: earlier clicks, as ``Click`` or ``(x, y)`` in pixels; their pixels are never chosen again
            (they still count as part of the error when distances are measured, as in the benchmarks' code).
        ignore: pixels that are neither object nor background, bool (height, width); they are no error.

    Returns:
        A positive click if the missed object is strictly deeper than the covered background, else a negative one, at
        the pixel of maximum depth; the first in row-major order where several tie.

    Raises:
        ValueError: if the masks differ in size.
    """
    if mask.shape != target.shape or (ignore is not None and ignore.shape != target.shape):
        raise ValueError(f"mask {mask.shape}, target {target.shape} and ignore mask must have one size")
    points = [(c.x, c.y) if isinstance(c, Click) else c for c in clicked]
    differ = mask != target
    if ignore is not None:
        differ &= ~ignore
    missed_depth, missed = _deepest(differ & target, points, 0)
    # The covered background also wins a tie, so its search may stop only below the depth found.
    covered_depth, covered = _deepest(differ & mask, points, missed_depth)
    if covered is not None and covered_depth >= missed_depth:
        return Click(*covered, positive=False)
    if missed is not None:
        return Click(*missed, positive=True)
    return None


def _deepest(
    error: npt.NDArray[np.bool_], clicked: list[tuple[int, int]], at_least: int
) -> tuple[int, tuple[int, int] | None]:
    """Squared depth and (x, y) of the deepest unclicked pixel; (0, None) if no pixel reaches ``at_least``, squared."""
    left, top, width, height = cv2.boundingRect(error.view(np.uint8))
    if width == 0:
        return 0, None
    crop = np.zeros((height + 2, width + 2), np.uint8)
    crop[1:-1, 1:-1] = error[top : top + height, left : left + width]
    city_block = cv2.distanceTransform(crop, cv2.DIST_L1, 3, dstType=cv2.CV_8U)
    for x, y in clicked:
        if left <= x < left + width and top <= y < top + height:
            city_block[y - top + 1, x - left + 1] = 0
    bound = int(city_block.max())
    saturated = bound == np.iinfo(np.uint8).max
    if bound == 0 or (bound * bound < at_least and not saturated):
        return 0, None

    possible = city_block >= max(1, int(bound / 2**0.5))
    x, y, width, height = cv2.boundingRect(possible.view(np.uint8))
    reach = max(crop.shape) if saturated else bound
    y0, x0 = max(0, y - reach), max(0, x - reach)
    window = np.s_[y0 : y + height + reach, x0 : x + width + reach]
    distances = np.asarray(cv2.distanceTransform(crop[window], cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)
    # What decides the other pixels' distances may lie outside the window.
    distances[~possible[window]] = 0
    depth, (column, row) = _first_maximum(distances)
    return (depth, (left + x0 + column - 1, top + y0 + row - 1)) if depth >= at_least else (0, None)


def _first_maximum(distances: npt.NDArray[np.float32]) -> tuple[int, tuple[int, int]]:
    """The largest distance, squared, and the first (x, y) in row-major order that has it.

    OpenCV's square roots differ in the last bit for one and the same squared distance, which would decide ties by
    chance. A squared distance of pixels is a whole number, so rounding makes it exact again.
    """
    flat = distances.ravel()
    near = np.flatnonzero(flat >= flat.max() * np.float32(1 - 1e-6))
    squared = np.rint(flat[near].astype(np.float64) ** 2)
    first = int(squared.argmax())
    row, column = divmod(int(near[first]), distances.shape[1])
    return int(squared[first]), (column, row)
