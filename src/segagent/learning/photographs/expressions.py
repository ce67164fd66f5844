"""Sentences about a view of a photograph, made from its annotations, each singling out one thing with a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segagent.datasets.scenes.expressions import is_closest, relates
from segagent.datasets.scenes.language import COLOR_WORDS, pick, with_article
from segagent.learning.photographs.colours import UNKNOWN
from segagent.learning.photographs.facts import PERSON, Thing, carries, is_farthest, stands_at
from segagent.learning.photographs.words import (
    BARE_NOUNS,
    CLOTHED_TEMPLATES,
    CLOTHES,
    COCO_NOUNS,
    COLOUR_WORDS,
    EXTREMES,
    PLACES,
    RELATIONS,
)
from segagent.learning.policy.scene_store import ABSENT_TARGET, StoredExpression

_NOTED = 0.004
"""Things that cover less of the picture are not meant by anybody, and do not make a sentence ambiguous."""
_LEAST_TARGET = 0.01
_KINDS = ("attribute", "position", "position", "superlative", "relation", "superlative")


@dataclass(frozen=True)
class _Phrase:
    """``noun`` None: no noun at all ("on the left"); "" any bare noun; else one that names categories."""

    noun: str | None
    color: str


class PhotoWriter:
    """Writes verified sentences about ``things``, drawing its choices from ``rng``."""

    def __init__(self, rng: np.random.Generator, things: Sequence[Thing]) -> None:
        self._rng = rng
        self._things = things
        self._facts = [thing.fact for thing in things]
        self._noted = [i for i, fact in enumerate(self._facts) if fact.area >= _NOTED]
        self._targets = [i for i in self._noted if self._facts[i].area >= _LEAST_TARGET and things[i].nouns]

    def write(self, limit: int, absent_share: float = 0.0) -> tuple[StoredExpression, ...]:
        """Up to ``limit`` different sentences, the things talked about least first.

        With ``absent_share`` as chance one more names a category that is not there.
        """
        found: dict[str, StoredExpression] = {}
        told = np.zeros(len(self._targets))
        first = int(self._rng.integers(len(_KINDS)))
        for turn in range(first, first + 2 * limit):
            if len(found) == limit:
                break
            order = np.argsort(told + 1.5 * self._rng.random(len(told)))
            for place in (*order, *order):
                written = self._attempt(_KINDS[turn % len(_KINDS)], self._targets[int(place)])
                if written is not None and written.text not in found:
                    found[written.text] = written
                    told[place] += 1
                    break
        if self._rng.random() < absent_share:
            written = self._absent()
            found[written.text] = written
        return tuple(found.values())

    def _attempt(self, kind: str, target: int) -> StoredExpression | None:
        if kind == "attribute":
            return self._attribute(target)
        if kind == "position":
            return self._position(target)
        if kind == "superlative":
            return self._superlative(target)
        return self._relation(target)

    def _absent(self) -> StoredExpression:
        there = frozenset().union(*(thing.nouns for thing in self._things)) if self._things else frozenset()
        away = [nouns for nouns in COCO_NOUNS.values() if not there & set(nouns)]
        noun = pick(self._rng, pick(self._rng, away))
        if self._rng.random() < 0.3:
            noun = pick(self._rng, PLACES[pick(self._rng, tuple(PLACES))]).format(noun)
        return StoredExpression(with_article(self._rng, noun), ABSENT_TARGET, "absent", (), None)

    def _phrase(self, target: int, *, colored: float, bare: float = 0.0, nounless: float = 0.0) -> _Phrase:
        thing = self._things[target]
        draw = self._rng.random(2)
        nouns = sorted(thing.nouns)
        noun: str | None = nouns[0] if len(nouns) == 1 else self._noun(thing)
        if draw[0] < nounless:
            noun = None
        elif draw[0] < nounless + bare:
            noun = ""
        color = thing.fact.color if noun is not None and draw[1] < colored else UNKNOWN
        return _Phrase(noun, color)

    def _noun(self, thing: Thing) -> str:
        """A noun for it; the first ones of its category's list, the most usual, are the likelier."""
        nouns = COCO_NOUNS.get(thing.fact.category) or tuple(sorted(thing.nouns))
        weights = np.array([1 / (rank + 2) for rank in range(len(nouns))])
        return nouns[int(self._rng.choice(len(nouns), p=weights / weights.sum()))]

    def _fitting(self, phrase: _Phrase, *, sure_of: int) -> list[int]:
        """The things that the phrase may be said of; none but ``sure_of`` where it is not clearly true of that."""
        if phrase.color and not self._things[sure_of].is_clearly(phrase.color):
            return []
        return [
            i
            for i, thing in enumerate(self._things)
            if (not phrase.noun or phrase.noun in thing.nouns)
            and (not phrase.color or i == sure_of or thing.may_be(phrase.color))
        ]

    def _words(self, phrase: _Phrase, target: int) -> str:
        if phrase.noun is None:
            return ""
        noun = phrase.noun or pick(self._rng, BARE_NOUNS)
        if not phrase.color:
            return noun
        color = pick(self._rng, COLOUR_WORDS.get(phrase.color, COLOR_WORDS[phrase.color]))
        if self._facts[target].category == PERSON:
            return pick(self._rng, CLOTHED_TEMPLATES).format(noun=noun, color=color, clothes=pick(self._rng, CLOTHES))
        return f"{color} {noun}"

    def _written(
        self, text: str, target: int, kind: str, fitting: list[int], anchor: int | None = None
    ) -> StoredExpression:
        text = " ".join(text.split())
        # "the left", but not "the on the left".
        if self._rng.random() < 0.3 and text.split()[0] not in ("on", "in", "at", "to"):
            text = with_article(self._rng, text)
        return StoredExpression(text, target, kind, tuple(fitting), anchor)

    def _noted_of(self, fitting: list[int]) -> list[int]:
        return [i for i in fitting if i in self._noted]

    def _attribute(self, target: int) -> StoredExpression | None:
        phrase = self._phrase(target, colored=0.55, bare=0.05)
        fitting = self._fitting(phrase, sure_of=target)
        if self._noted_of(fitting) != [target]:
            return None
        return self._written(self._words(phrase, target), target, "attribute", fitting)

    def _position(self, target: int) -> StoredExpression | None:
        phrase = self._phrase(target, colored=0.15, bare=0.06, nounless=0.12)
        fitting = self._fitting(phrase, sure_of=target)
        noted = self._noted_of(fitting)
        if target not in noted or (len(noted) == 1 and self._rng.random() < 0.7):
            return None
        rest = [i for i in noted if i != target]
        fits = [place for place in PLACES if stands_at(self._facts, rest, target, place)]
        if not fits:
            return None
        text = pick(self._rng, PLACES[pick(self._rng, fits)]).format(self._words(phrase, target))
        return self._written(text, target, "position", fitting)

    def _superlative(self, target: int) -> StoredExpression | None:
        phrase = self._phrase(target, colored=0.1, bare=0.06, nounless=0.06)
        fitting = self._fitting(phrase, sure_of=target)
        noted = self._noted_of(fitting)
        if target not in noted or len(noted) < 2:
            return None
        fits = [word for word in EXTREMES if is_farthest(self._facts, noted, target, word)]
        if not fits:
            return None
        text = pick(self._rng, EXTREMES[pick(self._rng, fits)]).format(self._words(phrase, target))
        return self._written(text, target, "superlative", fitting)

    def _relation(self, target: int) -> StoredExpression | None:
        phrase = self._phrase(target, colored=0.1, bare=0.05)
        fitting = self._fitting(phrase, sure_of=target)
        noted = self._noted_of(fitting)
        if target not in noted or (len(noted) == 1 and self._rng.random() < 0.6):
            return None
        anchor = self._noted[int(self._rng.integers(len(self._noted)))]
        if anchor == target or not self._things[anchor].nouns:
            return None
        other = self._phrase(anchor, colored=0.3)
        if self._noted_of(self._fitting(other, sure_of=anchor)) != [anchor]:
            return None
        fits = [word for word in RELATIONS if self._holds(word, noted, target, anchor)]
        if not fits:
            return None
        link = pick(self._rng, RELATIONS[pick(self._rng, fits)])
        text = f"{self._words(phrase, target)} {link} {with_article(self._rng, self._words(other, anchor))}"
        return self._written(text, target, "relation", fitting, anchor)

    def _holds(self, relation: str, fitting: list[int], target: int, anchor: int) -> bool:
        facts, pivot = self._facts, self._facts[anchor]
        if relation == "closest to":
            return is_closest(facts, fitting, target, anchor)
        rest = [facts[i] for i in fitting if i not in (target, anchor)]
        if relation == "with":
            return (
                facts[target].category == PERSON
                and carries(facts[target], pivot, lenient=False)
                and not any(carries(other, pivot, lenient=True) for other in rest)
            )
        return relates(facts[target], pivot, relation, lenient=False) and not any(
            relates(other, pivot, relation, lenient=True) for other in rest
        )
