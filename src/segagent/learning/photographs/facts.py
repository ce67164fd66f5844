"""What sentences may say about the things of one view, with a margin: facts, nouns, places and extremes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from segagent.datasets.scenes import CATEGORIES, COLORS, SIZES
from segagent.datasets.scenes.expressions import Fact, box_gap, in_place, is_extreme
from segagent.learning.photographs.colours import ABSENT, CLEAR, UNKNOWN, Shares, colour_name, colour_shares
from segagent.learning.photographs.views import Photo
from segagent.learning.photographs.words import COCO_NOUNS, MOUNTS, WITH

PERSON = "person"
_HULL_SIZES = {"small": (0.0, 0.031), "medium": (0.043, 0.082), "large": (0.115, 1.0)}
"""Areas of the convex outline, as shares of the picture, that are clearly of a size; as the generator draws them."""


@dataclass(frozen=True, eq=False)
class Thing:
    """A thing of a view: its ``fact``, the ``nouns`` that fit it, the ``shares`` of the named colours on it.

    ``roles``: what a person is clearly called for what he or she holds or rides; ``nouns`` has those that may fit too.
    """

    fact: Fact
    nouns: frozenset[str]
    shares: Shares
    roles: frozenset[str] = frozenset()

    def may_be(self, color: str) -> bool:
        """Whether somebody could call it ``color``."""
        return bool(self.shares[COLORS.index(color)] > ABSENT)

    def is_clearly(self, color: str) -> bool:
        """Whether anybody would call it ``color``."""
        return self.fact.color == color and bool(self.shares[COLORS.index(color)] >= CLEAR)


def see_things(view: Photo) -> list[Thing]:
    """Everything in a view that is not ignored, in the order of its labels; colour and size measured."""
    things = []
    height, width = view.labels.shape
    for number, (category, color, pattern, size) in enumerate(view.names, 1):
        mask = view.labels == number
        shares = colour_shares(view.pixels, mask, clothed=category == PERSON)
        if color != UNKNOWN:
            shares = np.eye(len(COLORS))[COLORS.index(color)]
        rows, columns = np.nonzero(mask)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        hull = cv2.contourArea(cv2.convexHull(np.stack((columns, rows), 1).astype(np.int32))) / mask.size
        measured = next((name for name in SIZES if _HULL_SIZES[name][0] <= hull <= _HULL_SIZES[name][1]), UNKNOWN)
        fact = Fact(
            category=category,
            color=color or colour_name(shares),
            pattern=pattern,
            size=size or measured,
            cx=float(columns.mean() + 0.5) / width,
            cy=float(rows.mean() + 0.5) / height,
            box=(x0 / width, y0 / height, x1 / width, y1 / height),
            area=len(rows) / mask.size,
            whole=x0 > 1 and y0 > 1 and x1 < width - 1 and y1 < height - 1,
        )
        things.append(Thing(fact, _nouns(category), shares))
    return [_with_roles(thing, things) if thing.fact.category == PERSON else thing for thing in things]


def _with_roles(person: Thing, things: Sequence[Thing]) -> Thing:
    """``person`` with the roles that a "skier" or "rider" is told by."""
    others = [thing.fact for thing in things if thing.fact.category in WITH]
    clear = {r for other in others if _is_with(person.fact, other, lenient=False) for r in WITH[other.category]}
    possible = {r for other in others if _is_with(person.fact, other, lenient=True) for r in WITH[other.category]}
    return replace(person, nouns=person.nouns | possible, roles=frozenset(clear))


def _is_with(person: Fact, other: Fact, *, lenient: bool) -> bool:
    if lenient or other.category not in MOUNTS:
        return carries(person, other, lenient=lenient)
    width = min(person.box[2], other.box[2]) - max(person.box[0], other.box[0])
    height = min(person.box[3], other.box[3]) - max(person.box[1], other.box[1])
    return width > 0.6 * (person.box[2] - person.box[0]) and height > 0 and person.cy < other.cy - 0.05


def _nouns(category: str) -> frozenset[str]:
    drawn = {category} if category in CATEGORIES else set()
    return frozenset({*drawn, *COCO_NOUNS.get(category, ())})


def stands_at(facts: Sequence[Fact], rest: Sequence[int], target: int, place: str) -> bool:
    """Whether ``target``, and clearly none of ``rest``, is at ``place``; of two or three things also the outermost."""
    if in_place(facts[target], place, lenient=False) and not any(in_place(facts[i], place, lenient=True) for i in rest):
        return True
    word = {"left": "leftmost", "right": "rightmost", "top": "topmost", "bottom": "bottommost"}.get(place)
    return word is not None and 1 <= len(rest) <= 2 and is_farthest(facts, [target, *rest], target, word)


def is_farthest(facts: Sequence[Fact], fitting: Sequence[int], target: int, word: str) -> bool:
    """``is_extreme`` for the words of photographs: also "middle" of three, "third left", "front" and "back"."""
    fact, others = facts[target], [facts[i] for i in fitting if i != target]
    if word in ("third left", "third right"):
        sign = 1 if word == "third left" else -1
        before = [o for o in others if sign * (o.cx - fact.cx) < 0]
        return len(before) == 2 and len(others) >= 3 and all(abs(o.cx - fact.cx) > 0.05 for o in others)
    if word == "middle":
        before = [o for o in others if o.cx < fact.cx]
        return len(others) == 2 and len(before) == 1 and all(abs(o.cx - fact.cx) > 0.07 for o in others)
    if word == "front":
        return bool(others) and all(fact.box[3] > o.box[3] + 0.03 and fact.area > 1.4 * o.area for o in others)
    if word == "back":
        return bool(others) and all(fact.box[3] < o.box[3] - 0.03 and fact.area * 1.4 < o.area for o in others)
    if word in ("leftmost", "rightmost", "topmost", "bottommost"):
        # Photographs overlap more than drawings: the centre decides, the outline must only not contradict it.
        axis, sign = (0, 1) if word in ("leftmost", "rightmost") else (1, 1)
        sign = -sign if word in ("rightmost", "bottommost") else sign
        centre = [o.cx - fact.cx if axis == 0 else o.cy - fact.cy for o in others]
        edge = [o.box[axis if sign > 0 else axis + 2] - fact.box[axis if sign > 0 else axis + 2] for o in others]
        return bool(others) and all(sign * c > 0.08 and sign * e > -0.02 for c, e in zip(centre, edge, strict=True))
    return is_extreme(facts, list(fitting), target, word)


def carries(fact: Fact, anchor: Fact, *, lenient: bool) -> bool:
    """Whether the two belong together: most of the anchor's box is within the thing's and it is the smaller."""
    if lenient:
        return box_gap(fact, anchor) < 0.03
    width = min(fact.box[2], anchor.box[2]) - max(fact.box[0], anchor.box[0])
    height = min(fact.box[3], anchor.box[3]) - max(fact.box[1], anchor.box[1])
    return width > 0 and height > 0 and width * height > 0.45 * anchor.box_area and anchor.area < fact.area
