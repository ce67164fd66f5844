"""What looks odd about the objects of one image: found from their masks alone, for a person to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from segagent.core import Rle
from segagent.core.rle import rle_areas, rle_overlaps, run_ends

DUPLICATE = 0.8
"""From this IoU on two masks are taken for one object drawn twice."""
OVERLAP = 0.2
"""From this share of the smaller mask on it is told that two overlap."""
BOX_FITS = 0.9
"""Below this IoU the box in the file is not the mask's."""
_MOST_PAIRS = 20_000


@dataclass(frozen=True, slots=True)
class OnImage:
    """An object of an image; ``rle`` None: it has no mask. ``box``: what the data set's file says, x, y, width and
    height in pixels; None where it says nothing."""

    index: int
    label: str
    rle: Rle | None
    box: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something odd. ``kind``: duplicate, overlap, box or missing; ``indices``: the objects it is about."""

    kind: str
    indices: list[int]
    words: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def inspect(objects: Sequence[OnImage]) -> list[Oddity]:
    """Everything odd about the objects of one image, all of one size."""
    found = []
    drawn: list[tuple[OnImage, Rle]] = []
    areas = rle_areas([one.rle for one in objects if one.rle is not None])
    masked = iter(areas)
    area: dict[int, int] = {}
    for one in objects:
        pixels = 0 if one.rle is None else int(next(masked))
        if one.rle is None or not pixels:
            found.append(Oddity("missing", [one.index], f"{one.label}: has no mask"))
            continue
        area[one.index] = pixels
        drawn.append((one, one.rle))
        if one.box is not None and (fits := _box_iou(_box(one.rle), one.box)) < BOX_FITS:
            found.append(
                Oddity("box", [one.index], f"{one.label}: its box in the file has IoU {fits:.2f} with the mask's own")
            )
    return found + _pairs(drawn, area)


def _pairs(drawn: Sequence[tuple[OnImage, Rle]], area: Mapping[int, int]) -> list[Oddity]:
    boxes = [_box(rle) for _, rle in drawn]
    near = [
        (a, b)
        for a, b in combinations(range(len(drawn)), 2)
        if min(boxes[a][2], boxes[b][2]) > max(boxes[a][0], boxes[b][0])
        and min(boxes[a][3], boxes[b][3]) > max(boxes[a][1], boxes[b][1])
    ][:_MOST_PAIRS]
    if not near:
        return []
    common, together = rle_overlaps([drawn[a][1] for a, _ in near], [drawn[b][1] for _, b in near])
    found = []
    for (a, b), shared, union in zip(near, common.tolist(), together.tolist(), strict=True):
        first, second = drawn[a][0], drawn[b][0]
        share = shared / min(area[first.index], area[second.index])
        names = f"{first.label} and {second.label}"
        if shared / union >= DUPLICATE:
            found.append(
                Oddity("duplicate", [first.index, second.index], f"{names}: nearly one mask, IoU {shared / union:.2f}")
            )
        elif share >= OVERLAP:
            words = f"{names}: {share:.0%} of the smaller one lies in the other"
            found.append(Oddity("overlap", [first.index, second.index], words))
    return found


def _box(rle: Rle) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a mask that is not empty, the latter two exclusive."""
    height = int(rle["size"][0])
    ends = run_ends(rle)
    starts, stops = ends[0 : ends.size // 2 * 2 : 2], ends[1 : ends.size // 2 * 2 : 2]
    some = stops > starts
    starts, stops = starts[some], stops[some]
    left, right = starts // height, (stops - 1) // height
    # A run that goes on in the next column reaches from edge to edge.
    whole = left != right
    top = np.where(whole, 0, starts % height)
    bottom = np.where(whole, height, (stops - 1) % height + 1)
    return float(left.min()), float(top.min()), float(right.max()) + 1, float(bottom.max())


def _box_iou(own: tuple[float, float, float, float], told: Sequence[float]) -> float:
    x, y, width, height = told
    wide = min(own[2], x + width) - max(own[0], x)
    high = min(own[3], y + height) - max(own[1], y)
    common = max(wide, 0.0) * max(high, 0.0)
    union = (own[2] - own[0]) * (own[3] - own[1]) + max(width, 0.0) * max(height, 0.0) - common
    return common / union if union > 0 else 0.0
