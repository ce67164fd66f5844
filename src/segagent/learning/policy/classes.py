"""The tables of attribute values that the object encoder tells apart, with and without photographs."""

from __future__ import annotations

from collections.abc import Iterable

from segagent.datasets.scenes import CATEGORIES, COLORS, PATTERNS, SIZES, vocabulary
from segagent.learning.photographs.words import COCO_NOUNS, photo_vocabulary
from segagent.policies.embedded.network import Architecture

ALL_CATEGORIES = (*CATEGORIES, *(name for name in COCO_NOUNS if name not in CATEGORIES))
"""The drawn categories, then those of COCO's that have no equal name among them."""
CLASSES: tuple[tuple[str, ...], ...] = (ALL_CATEGORIES, COLORS, PATTERNS, SIZES)
_INDEX = tuple({name: number for number, name in enumerate(names)} for names in CLASSES)
UNKNOWN_CLASS = -1
"""Class number of an attribute that nobody knows; no loss or accuracy counts it."""


def architecture(*, photographs: bool, words: Iterable[str] = ()) -> Architecture:
    """Words and classes of a network trained on generated scenes alone or on photographs too, and more ``words``."""
    sizes = (len(COLORS), len(PATTERNS), len(SIZES))
    if photographs:
        taught = {*vocabulary(), *photo_vocabulary(), *words}
        return Architecture(tuple(sorted(taught)), (len(ALL_CATEGORIES), *sizes))
    return Architecture(tuple(sorted({*vocabulary(), *words})), (len(CATEGORIES), *sizes))


def class_numbers(names: tuple[str, str, str, str]) -> list[int]:
    """(category, color, pattern, size) as class numbers; an empty name is ``UNKNOWN_CLASS``."""
    return [table[name] if name else UNKNOWN_CLASS for table, name in zip(_INDEX, names, strict=True)]
