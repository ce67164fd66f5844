"""Sentences about a scene, each verified to single out exactly one object with a margin to the next best.

Every property has a strict and a lenient reading. A sentence is kept only if its target alone fits the strict reading
and no other candidate fits even the lenient one, so that small errors of drawing or judgement cannot change the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segagent.datasets.scenes.language import (
    PLACE_TEMPLATES,
    RELATION_PHRASES,
    SUPERLATIVE_TEMPLATES,
    NounPhrase,
    pick,
    with_article,
    write_phrase,
)
from segagent.datasets.scenes.model import KINDS, Expression, Kind

_RELATIONS = tuple(RELATION_PHRASES)
_PLACES = tuple(PLACE_TEMPLATES)
_SUPERLATIVES = tuple(SUPERLATIVE_TEMPLATES)
_OF_SIZE = ("largest", "larger", "smallest", "smaller")


@dataclass(frozen=True, slots=True)
class Fact:
    """What sentences may say about one object.

    Lengths are fractions: ``cx, cy`` (centroid of the visible pixels) and ``box`` (x0, y0, x1, y1) of the image's width
    and height, ``area`` (visible pixels) and ``box_area`` of the image's area. ``whole``: at least three quarters show.
    """

    category: str
    color: str
    pattern: str
    size: str
    cx: float
    cy: float
    box: tuple[float, float, float, float]
    area: float
    whole: bool

    @property
    def box_area(self) -> float:
        """Area of the bounding box as a fraction of the image."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


def matches(phrase: NounPhrase, fact: Fact) -> bool:
    """Whether the phrase is true of the object."""
    return (
        phrase.category in (None, fact.category)
        and phrase.color in (None, fact.color)
        and phrase.pattern in (None, fact.pattern)
        and phrase.size in (None, fact.size)
    )


def in_place(fact: Fact, place: str, *, lenient: bool) -> bool:
    """Whether the object lies at an absolute place of the image ("left", "top right", "center")."""
    edge = 0.56 if lenient else 0.44
    if place == "center":
        reach = 0.3 if lenient else 0.14
        return abs(fact.cx - 0.5) < reach and abs(fact.cy - 0.5) < reach
    inside = {"left": fact.cx < edge, "right": fact.cx > 1 - edge, "top": fact.cy < edge, "bottom": fact.cy > 1 - edge}
    return all(inside[word] for word in place.split())


def is_extreme(facts: Sequence[Fact], candidates: Sequence[int], target: int, word: str) -> bool:
    """Whether ``target`` clearly is the ``word`` ("largest", "leftmost", "second left" ...) among the candidates."""
    others = [facts[i] for i in candidates if i != target]
    fact = facts[target]
    if not others:
        return False
    if word in ("larger", "smaller") and len(others) != 1:
        return False
    if word in ("largest", "larger"):
        return all(fact.area > 1.35 * o.area and fact.box_area > 1.25 * o.box_area for o in others)
    if word in ("smallest", "smaller"):
        return all(fact.area * 1.35 < o.area and fact.box_area * 1.25 < o.box_area for o in others)
    gap = 0.07
    if word == "leftmost":
        return all(fact.cx + gap < o.cx and fact.box[0] <= o.box[0] for o in others)
    if word == "rightmost":
        return all(fact.cx - gap > o.cx and fact.box[2] >= o.box[2] for o in others)
    if word == "topmost":
        return all(fact.cy + gap < o.cy and fact.box[1] <= o.box[1] for o in others)
    if word == "bottommost":
        return all(fact.cy - gap > o.cy and fact.box[3] >= o.box[3] for o in others)
    if len(others) < 2:
        return False
    sign = 1 if word == "second left" else -1
    before = [o for o in others if sign * (o.cx - fact.cx) < 0]
    return len(before) == 1 and all(abs(o.cx - fact.cx) > gap for o in others)


def box_gap(a: Fact, b: Fact) -> float:
    """Distance between two bounding boxes, as a fraction of the image's sides; 0 where they touch or overlap."""
    dx = max(0.0, a.box[0] - b.box[2], b.box[0] - a.box[2])
    dy = max(0.0, a.box[1] - b.box[3], b.box[1] - a.box[3])
    return float(np.hypot(dx, dy))


def relates(fact: Fact, anchor: Fact, relation: str, *, lenient: bool) -> bool:
    """Whether ``fact`` stands in a pairwise relation ("left of", "above", "next to" ...) to ``anchor``."""
    if relation == "next to":
        return box_gap(fact, anchor) < (0.2 if lenient else 0.07)
    dx, dy = fact.cx - anchor.cx, fact.cy - anchor.cy
    low, high = 0, 2
    if relation in ("above", "below"):
        dx, dy = dy, dx
        low, high = 1, 3
    if relation in ("left of", "above"):
        if lenient:
            return dx < 0.03
        return dx < -0.09 and abs(dy) < 1.1 * abs(dx) and fact.box[high] < anchor.box[low] + 0.04
    if lenient:
        return dx > -0.03
    return dx > 0.09 and abs(dy) < 1.1 * abs(dx) and fact.box[low] > anchor.box[high] - 0.04


def is_closest(facts: Sequence[Fact], candidates: Sequence[int], target: int, anchor: int) -> bool:
    """Whether ``target`` clearly is the candidate closest to ``anchor``, by centres and by outlines."""
    pivot = facts[anchor]

    def distance(fact: Fact) -> float:
        return float(np.hypot(fact.cx - pivot.cx, fact.cy - pivot.cy))

    others = [facts[i] for i in candidates if i not in (target, anchor)]
    near, gap = distance(facts[target]), box_gap(facts[target], pivot)
    return bool(others) and all(distance(o) > 1.35 * near + 0.04 and box_gap(o, pivot) > gap + 0.03 for o in others)


class Writer:
    """Writes verified sentences about one set of facts, drawing its choices from ``rng``."""

    def __init__(self, rng: np.random.Generator, facts: Sequence[Fact]) -> None:
        self._rng = rng
        self._facts = facts

    def write(self, limit: int) -> tuple[Expression, ...]:
        """Up to ``limit`` different sentences, the kinds in turn; objects talked about least come first."""
        found: dict[str, Expression] = {}
        told = np.zeros(len(self._facts))
        kinds: list[Kind] = [*KINDS, "relation"]
        first = int(self._rng.integers(len(kinds)))
        for turn in range(first, first + 2 * limit):
            if len(found) == limit:
                break
            order = np.argsort(told + 2.2 * self._rng.random(len(told)))
            for target in (*order, *order):
                expression = self._attempt(kinds[turn % len(kinds)], int(target))
                if expression is not None and expression.text not in found:
                    found[expression.text] = expression
                    told[target] += 1
                    break
        return tuple(found.values())

    def _attempt(self, kind: Kind, target: int) -> Expression | None:
        if kind == "attribute":
            return self._attribute(target)
        if kind == "position":
            return self._position(target)
        if kind == "superlative":
            return self._superlative(target)
        return self._relation(target)

    def _phrase(self, target: int, *, more: float, generic: float, sized: bool = True) -> tuple[NounPhrase, list[int]]:
        """A random true phrase about ``target`` and all objects it fits; ``more`` is the share of adjectives."""
        fact = self._facts[target]
        draw = self._rng.random(4)
        rare_pattern = 0.25 if fact.pattern == "plain" else 1.1
        rare_size = 0.2 if fact.size == "medium" else 0.7
        phrase = NounPhrase(
            category=None if draw[0] < generic else fact.category,
            color=fact.color if draw[1] < more else None,
            pattern=fact.pattern if draw[2] < more * rare_pattern else None,
            size=fact.size if sized and draw[3] < more * rare_size else None,
        )
        fitting = [i for i, other in enumerate(self._facts) if matches(phrase, other)]
        return phrase, fitting

    def _size_is_clear(self, phrase: NounPhrase) -> bool:
        """Size words only where nothing they could be about is half hidden."""
        if phrase.size is None:
            return True
        loose = NounPhrase(phrase.category, phrase.color, phrase.pattern)
        return all(fact.whole for fact in self._facts if matches(loose, fact))

    def _expression(
        self, text: str, target: int, kind: Kind, fitting: list[int], anchor: int | None = None
    ) -> Expression:
        return Expression(with_article(self._rng, text), target, kind, tuple(fitting), anchor)

    def _attribute(self, target: int) -> Expression | None:
        phrase, fitting = self._phrase(target, more=0.45, generic=0.15)
        if len(fitting) != 1 or not self._size_is_clear(phrase):
            return None
        return self._expression(write_phrase(self._rng, phrase), target, "attribute", fitting)

    def _position(self, target: int) -> Expression | None:
        phrase, fitting = self._phrase(target, more=0.25, generic=0.2)
        if not self._size_is_clear(phrase) or (len(fitting) == 1 and self._rng.random() < 0.75):
            return None
        facts, rest = self._facts, [i for i in fitting if i != target]
        fits = [
            place
            for place in _PLACES
            if in_place(facts[target], place, lenient=False)
            and not any(in_place(facts[i], place, lenient=True) for i in rest)
        ]
        if not fits:
            return None
        text = pick(self._rng, PLACE_TEMPLATES[pick(self._rng, fits)]).format(write_phrase(self._rng, phrase))
        return self._expression(text, target, "position", fitting)

    def _superlative(self, target: int) -> Expression | None:
        phrase, fitting = self._phrase(target, more=0.2, generic=0.25, sized=False)
        if len(fitting) < 2:
            return None
        whole = all(self._facts[i].whole for i in fitting)
        fits = [
            word
            for word in _SUPERLATIVES
            if (whole or word not in _OF_SIZE) and is_extreme(self._facts, fitting, target, word)
        ]
        if not fits:
            return None
        text = pick(self._rng, SUPERLATIVE_TEMPLATES[pick(self._rng, fits)]).format(write_phrase(self._rng, phrase))
        return self._expression(text, target, "superlative", fitting)

    def _relation(self, target: int) -> Expression | None:
        phrase, fitting = self._phrase(target, more=0.2, generic=0.2)
        if not self._size_is_clear(phrase) or (len(fitting) == 1 and self._rng.random() < 0.6):
            return None
        anchor = int(self._rng.integers(len(self._facts)))
        if anchor == target:
            return None
        other, anchors = self._phrase(anchor, more=0.35, generic=0.05)
        if len(anchors) != 1 or not self._size_is_clear(other):
            return None
        fits = [word for word in _RELATIONS if self._holds(word, fitting, target, anchor)]
        if not fits:
            return None
        link = pick(self._rng, RELATION_PHRASES[pick(self._rng, fits)])
        named = with_article(self._rng, write_phrase(self._rng, other))
        text = f"{write_phrase(self._rng, phrase)} {link} {named}"
        return self._expression(text, target, "relation", fitting, anchor)

    def _holds(self, relation: str, fitting: list[int], target: int, anchor: int) -> bool:
        """Whether ``target`` alone of the fitting objects stands in the relation to ``anchor``."""
        facts, pivot = self._facts, self._facts[anchor]
        if relation == "closest to":
            return is_closest(facts, fitting, target, anchor)
        rest = [i for i in fitting if i not in (target, anchor)]
        return relates(facts[target], pivot, relation, lenient=False) and not any(
            relates(facts[i], pivot, relation, lenient=True) for i in rest
        )
