"""The simulated annotator: where a person who knows the target would click next (paper section 4.1, Alg. 3).

The rule is that of the interactive-segmentation benchmarks (RITM's ``Clicker``): click the pixel deepest inside the
larger of the two errors, missed object (positive click) or covered background (negative click). "Deepest" is by the
Euclidean distance to the nearest pixel that is not part of the error, everything outside the image counting as such.

The result is that of the plain full-image rule, bit for bit, but only as much of the image is looked at as can
hold the deepest pixel: the errors' connected parts in the order of the largest depth that their bounding box
allows, until no remaining part can be deeper. Two facts make that exact. A pixel's distance is decided inside its
own 8-connected part: on the way to any pixel of another part one leaves the error, and does so at a strictly smaller
distance. And a part's bounding box with a border of one pixel holds a nearest outside pixel for each of its pixels.
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
        A positive click if the missed object is strictly deeper than the covered background, else a negative
        one, at the pixel
        of maximum depth; the first in row-major order where several tie.

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
    """Squared depth and (x, y) of the deepest unclicked pixel; parts that cannot reach ``at_least`` are left out."""
    rows = np.flatnonzero(error.any(axis=1))
    if rows.size == 0:
        return 0, None
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = np.flatnonzero(error[top:bottom].any(axis=0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    # The copy with a zero border serves the labelling and every distance transform below.
    crop = np.zeros((bottom - top + 2, right - left + 2), np.uint8)
    crop[1:-1, 1:-1] = error[top:bottom, left:right]
    local = [(x - left + 1, y - top + 1) for x, y in clicked if left <= x < right and top <= y < bottom]

    _, labels, stats, _ = cv2.connectedComponentsWithStats(crop, connectivity=8, ltype=cv2.CV_32S)
    shorter = np.minimum(stats[1:, cv2.CC_STAT_WIDTH], stats[1:, cv2.CC_STAT_HEIGHT])
    # A box of n pixels on its shorter side holds no pixel deeper than (n + 1) // 2.
    bounds = ((shorter + 1) // 2) ** 2
    best_depth, best = at_least, None
    for part in np.argsort(-bounds, kind="stable"):
        if bounds[part] < best_depth:
            break
        x, y, width, height, _ = (int(n) for n in stats[part + 1])
        window = np.s_[y - 1 : y + height + 1, x - 1 : x + width + 1]
        alone = (labels[window] == part + 1).view(np.uint8)
        distances = cv2.distanceTransform(alone, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for px, py in local:
            if x <= px < x + width and y <= py < y + height:
                distances[py - y + 1, px - x + 1] = 0
        depth, (column, row) = _first_maximum(distances)
        place = (left + x - 2 + column, top + y - 2 + row)
        if depth > best_depth or (0 < depth == best_depth and (best is None or place[::-1] < best[::-1])):
            best_depth, best = depth, place
    return (best_depth, best) if best is not None else (0, None)


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
