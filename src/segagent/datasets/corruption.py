"""Masks spoiled in known ways, to measure whether an audit finds them and a repair mends them.

The kinds are what goes wrong in annotation: too wide or too narrow an outline, a part cut off, a shifted mask, a
polygon of few corners, two objects' masks swapped, a neighbour taken in, another object altogether. How much is drawn
for each mask: an IoU with the true mask out of :data:`STRENGTH` is aimed at, so that large and small objects are
spoiled alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np

from segagent.core import BoolMask, frozen_mask, iou

Kind: TypeAlias = Literal["clean", "dilate", "erode", "cut", "shift", "coarse", "merge", "swap", "wrong object"]

KINDS: tuple[Kind, ...] = get_args(Kind)

STRENGTH = (0.5, 0.85)
"""Between these an IoU is drawn that dilate, erode, cut, shift and coarse come as close to, from below, as pixels let
them."""
CORRUPTED_BELOW = 0.9
"""A mask counts as corrupted where its true IoU is below this; spoiled masks always are."""
_LEFT_AT_LEAST = 0.1
"""Spoiled masks of the first kinds still are about their object."""


@dataclass(frozen=True, eq=False)
class Corrupted:
    """``mask``, read-only bool (height, width), made of a true mask in the way of ``kind``; ``iou`` with that."""

    kind: Kind
    mask: BoolMask
    iou: float


def corrupt(
    mask: BoolMask,
    others: Sequence[BoolMask],
    rng: np.random.Generator,
    *,
    share: float = 0.5,
    ignore: BoolMask | None = None,
) -> Corrupted:
    """``mask`` spoiled with probability ``share``, in a way drawn from those that its picture allows.

    Args:
        mask: true mask, bool (height, width), not empty.
        others: masks of the other objects of the picture; without any no mask is swapped.
        rng: decides everything.
        share: in [0, 1].
        ignore: pixels left out of the IoU.
    """
    if rng.random() < share:
        for kind in rng.permutation(np.array([kind for kind in KINDS if kind != "clean"])).tolist():
            spoiled = spoil(kind, mask, others, rng)
            if spoiled is None or not spoiled.any():
                continue
            left = iou(spoiled, mask, ignore)
            about = kind in ("swap", "wrong object") or left >= _LEFT_AT_LEAST
            if about and left < CORRUPTED_BELOW:
                return Corrupted(kind, frozen_mask(spoiled), left)
    return Corrupted("clean", frozen_mask(mask), 1.0)


def spoil(
    kind: Kind,
    mask: BoolMask,
    others: Sequence[BoolMask],
    rng: np.random.Generator,
    *,
    strength: tuple[float, float] = STRENGTH,
) -> BoolMask | None:
    """``mask`` spoiled in the way of ``kind``, None where there is nothing to do it with."""
    if kind in ("swap", "merge", "wrong object"):
        distinct = [other for other in others if other.any() and iou(other, mask) < 0.5]
        if not distinct:
            return None
        if kind == "wrong object":
            return distinct[int(rng.integers(len(distinct)))]
        nearest = distinct[int(np.argmin([_gap(mask, other) for other in distinct]))]
        return nearest if kind == "swap" else mask | nearest
    return _BY_STRENGTH[kind](mask, float(rng.uniform(*strength)), rng)


def _gap(mask: BoolMask, other: BoolMask) -> float:
    """Pixels between two masks."""
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(away[other].min())


def _dilate(mask: BoolMask, aim: float, _: np.random.Generator) -> BoolMask | None:
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    levels = np.sort(away[~mask])
    wanted = int(np.ceil(np.count_nonzero(mask) * (1 / aim - 1)))
    return frozen_mask(away <= levels[wanted - 1]) if 0 < wanted <= levels.size else None


def _erode(mask: BoolMask, aim: float, _: np.random.Generator) -> BoolMask | None:
    framed = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    levels = np.sort(depth[mask])
    return frozen_mask(depth > levels[int(np.ceil((1 - aim) * levels.size)) - 1])


def _cut(mask: BoolMask, aim: float, rng: np.random.Generator) -> BoolMask | None:
    """What lies beyond a straight line is missing."""
    rows, columns = np.indices(mask.shape, np.float64)
    angle = rng.uniform(0, 2 * np.pi)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    return frozen_mask(mask & (along < np.quantile(along[mask], aim)))


def _shift(mask: BoolMask, aim: float, rng: np.random.Generator) -> BoolMask | None:
    angle = rng.uniform(0, 2 * np.pi)
    for distance in range(1, max(mask.shape)):
        moved = _moved(mask, round(distance * np.sin(angle)), round(distance * np.cos(angle)))
        if iou(moved, mask) <= aim:
            return moved
    return None


def _moved(mask: BoolMask, down: int, right: int) -> BoolMask:
    height, width = mask.shape
    moved = np.zeros_like(mask)
    target = (slice(max(down, 0), height + min(down, 0)), slice(max(right, 0), width + min(right, 0)))
    source = (slice(max(-down, 0), height + min(-down, 0)), slice(max(-right, 0), width + min(-right, 0)))
    moved[target] = mask[source]
    return moved


def _coarse(mask: BoolMask, aim: float, _: np.random.Generator) -> BoolMask | None:
    """Outlines of so few corners that the aim is missed; holes are filled, as polygons have none."""
    outlines, _hierarchy = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    tolerance = 1.0
    while tolerance < max(mask.shape):
        drawn = np.zeros(mask.shape, np.uint8)
        kept = [cv2.approxPolyDP(outline, tolerance, True) for outline in outlines]
        cv2.fillPoly(drawn, [corners for corners in kept if len(corners) > 2], 1)
        polygon = drawn.astype(np.bool_)
        if not polygon.any() or iou(polygon, mask) <= aim:
            return polygon
        tolerance *= 1.25
    return None


_BY_STRENGTH: dict[str, Callable[[BoolMask, float, np.random.Generator], BoolMask | None]] = {
    "dilate": _dilate,
    "erode": _erode,
    "cut": _cut,
    "shift": _shift,
    "coarse": _coarse,
}
