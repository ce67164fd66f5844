"""The closed language of the sentences: noun phrases, places, superlatives, relations, and every word of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from segagent.datasets.scenes.appearance import COLORS
from segagent.datasets.scenes.shapes import CATEGORY_SHAPES

T = TypeVar("T")

SIZE_WORDS = MappingProxyType(
    {"small": ("small", "small", "little", "tiny"), "medium": ("medium",), "large": ("large", "big", "big")}
)
PATTERN_WORDS = MappingProxyType(
    {
        "plain": ("plain",),
        "striped": ("striped",),
        "dotted": ("dotted", "dotted", "spotted"),
        "checked": ("checked", "checkered"),
        "grainy": ("grainy",),
        "glossy": ("glossy", "shiny"),
    }
)
PATTERN_PHRASES = MappingProxyType({"striped": "with stripes", "dotted": "with dots", "checked": "with checks"})
COLOR_WORDS = MappingProxyType({name: (("gray", "grey") if name == "gray" else (name,)) for name in COLORS})
GENERIC_NOUNS = ("object", "thing")
CATEGORY_NOUNS = MappingProxyType({name: name for name in CATEGORY_SHAPES})

# "{}" is the noun phrase without its article; a template that begins with "{}" or an adjective takes "the" before it.
PLACE_TEMPLATES = MappingProxyType(
    {
        "left": ("{} on the left", "left {}", "{} at left", "{} on the left side"),
        "right": ("{} on the right", "right {}", "{} at right", "{} on the right side"),
        "top": ("{} at the top", "top {}", "upper {}"),
        "bottom": ("{} at the bottom", "bottom {}", "lower {}"),
        "center": ("{} in the center", "{} in the middle", "center {}", "middle {}"),
        "top left": ("{} at top left", "{} in the top left corner", "top left {}", "upper left {}"),
        "top right": ("{} at top right", "{} in the top right corner", "top right {}", "upper right {}"),
        "bottom left": ("{} at bottom left", "{} in the bottom left corner", "bottom left {}", "lower left {}"),
        "bottom right": ("{} at bottom right", "{} in the bottom right corner", "bottom right {}", "lower right {}"),
    }
)
SUPERLATIVE_TEMPLATES = MappingProxyType(
    {
        "largest": ("largest {}", "biggest {}"),
        "smallest": ("smallest {}",),
        "larger": ("larger {}", "bigger {}"),
        "smaller": ("smaller {}",),
        "leftmost": ("leftmost {}", "{} furthest to the left"),
        "rightmost": ("rightmost {}", "{} furthest to the right"),
        "topmost": ("topmost {}", "highest {}"),
        "bottommost": ("bottommost {}", "lowest {}"),
        "second left": ("second {} from the left", "second {} from left"),
        "second right": ("second {} from the right", "second {} from right"),
    }
)
RELATION_PHRASES = MappingProxyType(
    {
        "left of": ("left of", "to the left of", "on the left of"),
        "right of": ("right of", "to the right of", "on the right of"),
        "above": ("above", "over"),
        "below": ("below", "under", "beneath"),
        "next to": ("next to", "beside", "near"),
        "closest to": ("closest to", "nearest to"),
    }
)


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """Words that describe an object by itself; None where the phrase says nothing. No category reads "object"."""

    category: str | None = None
    color: str | None = None
    pattern: str | None = None
    size: str | None = None


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """One of ``options``, each as likely."""
    return options[int(rng.integers(len(options)))]


def write_phrase(rng: np.random.Generator, phrase: NounPhrase) -> str:
    """The phrase in words, without an article."""
    words = []
    tail = ""
    if phrase.size:
        words.append(pick(rng, SIZE_WORDS[phrase.size]))
    if phrase.color:
        words.append(pick(rng, COLOR_WORDS[phrase.color]))
    if phrase.pattern:
        if phrase.pattern in PATTERN_PHRASES and rng.random() < 0.15:
            tail = " " + PATTERN_PHRASES[phrase.pattern]
        else:
            words.append(pick(rng, PATTERN_WORDS[phrase.pattern]))
    if len(words) > 1 and rng.random() < 0.2:
        words.reverse()
    if phrase.category:
        noun = CATEGORY_NOUNS[phrase.category]
    elif words and rng.random() < 0.3:
        noun = "one"
    else:
        noun = pick(rng, GENERIC_NOUNS)
    return " ".join((*words, noun)) + tail


def with_article(rng: np.random.Generator, text: str) -> str:
    """``text`` with or without "the" before it, as people type."""
    return f"the {text}" if rng.random() < 0.5 else text


def vocabulary() -> tuple[str, ...]:
    """Every word that can occur in an expression, sorted, lower-case."""
    texts: list[str] = ["the", "one", *GENERIC_NOUNS, *CATEGORY_NOUNS.values(), *PATTERN_PHRASES.values()]
    for table in (SIZE_WORDS, PATTERN_WORDS, COLOR_WORDS, PLACE_TEMPLATES, SUPERLATIVE_TEMPLATES, RELATION_PHRASES):
        for entries in table.values():
            texts.extend(entries)
    return tuple(sorted({word for text in texts for word in text.replace("{}", " ").split()}))
