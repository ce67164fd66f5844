"""Sentences about a view of a photograph, made from its annotations, each singling out one thing with a margin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segagent.datasets.scenes import COLORS
from segagent.datasets.scenes.expressions import is_closest, relates
from segagent.datasets.scenes.language import COLOR_WORDS, pick
from segagent.learning.photographs.colours import UNKNOWN
from segagent.learning.photographs.facts import PERSON, Thing, carries, is_farthest, stands_at
from segagent.learning.photographs.words import (
    ASIDES,
    BARE_NOUNS,
    CLOTHED_TEMPLATES,
    CLOTHES,
    COCO_NOUNS,
    COLOUR_WORDS,
    EXTREMES,
    PARTS_OF,
    PLACES,
    RELATIONS,
    SHADES,
    THING_ASIDES,
    WITH,
    YOUNG,
)
from segagent.learning.policy.scene_store import ABSENT_TARGET, StoredExpression

_NOTED = 0.004
"""Things that cover less of the picture are not meant by anybody, and do not make a sentence ambiguous."""
_LEAST_TARGET = 0.01
_PROMINENT, _OUTSHINES = 0.06, 2.5
"""A thing that covers so much of the picture, and so many times the area of any other that its name fits, is meant by
the bare name."""
_KINDS = ("attribute", "position", "position", "superlative", "relation", "superlative")


ABSENCES = ("absent thing", "absent person", "absent colour", "absent place", "absent companion")
"""What may be missing: a thing or a person of that name, one of that colour, at that place, with that beside it."""
_NEAR_COLOURS = {
    "red": ("orange", "pink", "brown", "purple"), "orange": ("red", "yellow", "brown"), "green": ("yellow", "blue"),
    "yellow": ("orange", "green", "white"), "blue": ("purple", "green", "gray"), "purple": ("blue", "pink", "red"),
    "pink": ("red", "purple", "white"), "brown": ("red", "orange", "yellow", "black", "gray"),
    "black": ("gray", "blue", "brown"), "gray": ("black", "white", "blue", "brown"),
    "white": ("gray", "yellow", "pink"),
}  # fmt: skip
"""Colours that some people call one by the other's name."""
_LINKS = ("with", "next to", "left of", "right of", "closest to")
_TELLING_ROLES = ("skis", "snowboard", "surfboard", "skateboard", "horse", "bicycle", "motorcycle")
"""Things without which nobody would call a person by what he or she does with them."""


def _named_alike(category: str) -> list[str]:
    """The categories that share a noun with ``category``, itself included."""
    return [name for name, nouns in COCO_NOUNS.items() if set(nouns) & set(COCO_NOUNS[category])]


@dataclass(frozen=True)
class _Phrase:
    """``noun`` None: no noun at all ("on the left"); "" any bare noun; else one that names categories."""

    noun: str | None
    color: str


class PhotoWriter:
    """Writes verified sentences about ``things``, drawing its choices from ``rng``; ``told`` as in ``Photo``.

    ``as_people``: rather about what is large, and where one thing outshines all others of its name, that name may do.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        things: Sequence[Thing],
        told: frozenset[str] = frozenset(),
        *,
        as_people: bool = False,
    ) -> None:
        self._rng = rng
        self._as_people = as_people
        self._things = things
        self._told = told
        self._facts = [thing.fact for thing in things]
        self._noted = [i for i, fact in enumerate(self._facts) if fact.area >= _NOTED]
        self._targets = [i for i in self._noted if self._facts[i].area >= _LEAST_TARGET and things[i].nouns]

    def write(self, limit: int, absent_share: float = 0.0) -> tuple[StoredExpression, ...]:
        """Up to ``limit`` different sentences, the things talked about least first.

        With ``absent_share`` as chance each, one more of every kind of ``ABSENCES`` that is surely so.
        """
        found: dict[str, StoredExpression] = {}
        told = np.zeros(len(self._targets))
        areas = np.array([self._facts[i].area for i in self._targets])
        # A thing of a tenth of another's area waits for about two sentences about that.
        small = -0.9 * np.log(areas) * self._as_people
        first = int(self._rng.integers(len(_KINDS)))
        for turn in range(first, first + 2 * limit):
            if len(found) == limit:
                break
            order = np.argsort(told + 1.5 * self._rng.random(len(told)) + small)
            for place in (*order, *order):
                written = self._attempt(_KINDS[turn % len(_KINDS)], self._targets[int(place)])
                if written is not None and written.text not in found:
                    found[written.text] = written
                    told[place] += 1
                    break
        for kind in ABSENCES:
            if self._rng.random() < absent_share:
                written = self._absent(kind)
                if written is not None:
                    found.setdefault(written.text, written)
        return tuple(found.values())

    def _attempt(self, kind: str, target: int) -> StoredExpression | None:
        if kind == "attribute":
            return self._attribute(target)
        if kind == "position":
            return self._position(target)
        if kind == "superlative":
            return self._superlative(target)
        return self._relation(target)

    def _absent(self, kind: str) -> StoredExpression | None:
        if kind in ("absent thing", "absent person"):
            return self._nothing_called(kind)
        if kind == "absent companion":
            return self._without_companion()
        known = [i for i in self._noted if self._things[i].nouns and self._facts[i].category in self._told]
        if not known:
            return None
        target = pick(self._rng, known)
        noun = self._noun(self._things[target])
        fitting = [i for i, thing in enumerate(self._things) if noun in thing.nouns]
        if not all(self._facts[i].category in self._told for i in fitting):
            return None
        if kind == "absent colour":
            return self._not_so_coloured(noun, target, fitting)
        return self._not_there(noun, target, fitting)

    def _away(self) -> list[str]:
        """Categories of which, and of whose synonyms, nothing is in the picture."""
        there = frozenset().union(*(thing.nouns for thing in self._things)) if self._things else frozenset()
        return [
            name
            for name, nouns in COCO_NOUNS.items()
            if not there & set(nouns) and all(other in self._told for other in _named_alike(name))
        ]

    def _nothing_called(self, kind: str) -> StoredExpression | None:
        away = [name for name in self._away() if (name == PERSON) == (kind == "absent person")]
        if not away:
            return None
        category = pick(self._rng, away)
        noun = pick(self._rng, COCO_NOUNS[category])
        if self._rng.random() < 0.25:
            color = pick(self._rng, COLORS)
            noun = self._coloured(noun, color, clothed=category == PERSON)
        table = PLACES if self._rng.random() < 0.7 else EXTREMES
        if self._rng.random() < 0.45:
            noun = pick(self._rng, table[pick(self._rng, tuple(table))]).format(noun)
        return self._written(noun, ABSENT_TARGET, kind, [])

    def _not_so_coloured(self, noun: str, target: int, fitting: list[int]) -> StoredExpression | None:
        """A colour that none of the things called ``noun`` has anything of, all of them being clearly another's."""
        if not all(self._things[i].is_clearly(self._facts[i].color) for i in fitting if self._facts[i].color):
            return None
        if not all(self._facts[i].color for i in fitting):
            return None
        near = {c for i in fitting for c in (self._facts[i].color, *_NEAR_COLOURS.get(self._facts[i].color, ()))}
        colors = [
            c for k, c in enumerate(COLORS) if c not in near and all(self._things[i].shares[k] < 0.03 for i in fitting)
        ]
        if not colors:
            return None
        text = self._coloured(noun, pick(self._rng, colors), clothed=self._facts[target].category == PERSON)
        return self._written(text, ABSENT_TARGET, "absent colour", [])

    def _not_there(self, noun: str, target: int, fitting: list[int]) -> StoredExpression | None:
        """The other side of the picture than where the only thing called ``noun`` is."""
        if fitting != [target]:
            return None
        x0, y0, x1, y1 = self._facts[target].box
        free = {"left": x0 > 0.45, "right": x1 < 0.55, "top": y0 > 0.45, "bottom": y1 < 0.55}
        places = [place for place in PLACES if any(free.get(word, False) for word in place.split())]
        if not places:
            return None
        text = pick(self._rng, PLACES[pick(self._rng, places)]).format(noun)
        return self._written(text, ABSENT_TARGET, "absent place", fitting)

    def _without_companion(self) -> StoredExpression | None:
        """A thing that is there beside one that is not, or a person called by what nobody has."""
        away = [name for name in self._away() if name != PERSON]
        if not away or not self._targets:
            return None
        target = pick(self._rng, self._targets)
        person = self._facts[target].category == PERSON
        roles = [name for name in away if name in _TELLING_ROLES]
        if person and roles and self._rng.random() < 0.3:
            return self._written(pick(self._rng, WITH[pick(self._rng, roles)]), ABSENT_TARGET, "absent companion", [])
        missing = pick(self._rng, COCO_NOUNS[pick(self._rng, away)])
        link = pick(self._rng, RELATIONS[pick(self._rng, _LINKS if person else _LINKS[1:])])
        noun = self._noun(self._things[target])
        fitting = [i for i, thing in enumerate(self._things) if noun in thing.nouns]
        return self._written(f"{noun} {link} {self._with_article(missing)}", ABSENT_TARGET, "absent companion", fitting)

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
        if thing.roles and self._rng.random() < 0.35:
            return pick(self._rng, sorted(thing.roles))
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
        if self._facts[target].category != PERSON and self._rng.random() < 0.04:
            noun = pick(self._rng, PARTS_OF).format(noun)
        if not phrase.color:
            return noun
        return self._coloured(noun, phrase.color, clothed=self._facts[target].category == PERSON)

    def _coloured(self, noun: str, color: str, *, clothed: bool) -> str:
        word = pick(self._rng, COLOUR_WORDS.get(color, COLOR_WORDS[color]))
        if self._rng.random() < 0.08:
            word = f"{pick(self._rng, SHADES)} {word}"
        if clothed:
            return pick(self._rng, CLOTHED_TEMPLATES).format(noun=noun, color=word, clothes=pick(self._rng, CLOTHES))
        return f"{word} {noun}"

    def _with_article(self, text: str) -> str:
        article = pick(self._rng, ("", "the", "a"))
        return f"{'an' if article == 'a' and text[0] in 'aeiou' else article} {text}".strip()

    def _written(
        self, text: str, target: int, kind: str, fitting: list[int], anchor: int | None = None
    ) -> StoredExpression:
        if self._rng.random() < 0.15:
            asides = ASIDES if target >= 0 and self._facts[target].category == PERSON else THING_ASIDES
            text = f"{text} {pick(self._rng, asides)}"
        text = " ".join(text.split())
        # "the left", but not "the on the left".
        if self._rng.random() < 0.3 and text.split()[0] not in ("on", "in", "at", "to"):
            text = self._with_article(text)
        return StoredExpression(text, target, kind, tuple(fitting), anchor)

    def _noted_of(self, fitting: list[int]) -> list[int]:
        return [i for i in fitting if i in self._noted]

    def _attribute(self, target: int) -> StoredExpression | None:
        phrase = self._phrase(target, colored=0.55, bare=0.05)
        fitting = self._fitting(phrase, sure_of=target)
        noted = self._noted_of(fitting)
        if noted != [target] and not (self._as_people and self._outshines(target, noted)):
            return None
        return self._written(self._words(phrase, target), target, "attribute", fitting)

    def _outshines(self, target: int, noted: list[int]) -> bool:
        """Whether ``target`` is so much larger than the others of ``noted`` that nobody needs to say which."""
        area = self._facts[target].area
        others = [self._facts[i].area for i in noted if i != target]
        return target in noted and area >= max(_PROMINENT, _OUTSHINES * max(others, default=0.0))

    def _position(self, target: int) -> StoredExpression | None:
        phrase = self._phrase(target, colored=0.25, bare=0.06, nounless=0.12)
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
        word = pick(self._rng, fits)
        if word in ("smallest", "smaller") and self._facts[target].category == PERSON and self._rng.random() < 0.6:
            return self._written(pick(self._rng, YOUNG), target, "superlative", fitting)
        text = pick(self._rng, EXTREMES[word]).format(self._words(phrase, target))
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
        text = f"{self._words(phrase, target)} {link} {self._with_article(self._words(other, anchor))}"
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
