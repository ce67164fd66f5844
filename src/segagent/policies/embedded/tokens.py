"""Words of a sentence as numbers. A word that was not taught is read as one that was, where that is clear, or is the
unknown token, never an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from segagent.policies.embedded.lexicon import Lexicon, one_edit_away, other_number

PADDING = 0
UNKNOWN = 1
MAX_WORDS = 32

_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_POSSESSIVE = re.compile(r"['\N{RIGHT SINGLE QUOTATION MARK}]s?\b")
_HYPHENATED = re.compile(r"([^\W_]+)-([^\W_]+)")


def split_words(text: str) -> list[str]:
    """The lower-case words of ``text`` without a possessive's ending; what is no letter or digit separates words."""
    return _WORD.findall(_POSSESSIVE.sub(" ", unicodedata.normalize("NFKC", text).casefold()))


def swap_sides(text: str) -> str:
    """``text`` as it would describe the picture mirrored left to right."""
    sides = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
    return " ".join(sides.get(word, word) for word in split_words(text))


class Vocabulary:
    """A fixed list of words. Number 0 is padding and 1 the unknown word."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words: tuple[str, ...] = tuple(sorted(set(words)))
        self._index = {word: number for number, word in enumerate(self.words, start=2)}
        self._lexicon = Lexicon.packaged()

    def __len__(self) -> int:
        return len(self.words) + 2

    def __contains__(self, word: object) -> bool:
        return word in self._index

    def encode(self, text: str) -> list[int]:
        """Numbers of the first ``MAX_WORDS`` words; ``[UNKNOWN]`` for a text without any."""
        numbers = [UNKNOWN if known is None else self._index[known] for _, known in self._read(text)[:MAX_WORDS]]
        return numbers or [UNKNOWN]

    def encode_padded(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of each text, filled with ``PADDING`` to one length."""
        rows = [self.encode(text) for text in texts]
        longest = max((len(row) for row in rows), default=1)
        return [row + [PADDING] * (longest - len(row)) for row in rows]

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that cannot be read as any known one, each once, in order of appearance."""
        return [word for word, known in dict.fromkeys(self._read(text)) if known is None]

    def guesses(self, text: str) -> list[tuple[str, str]]:
        """The words of ``text`` that are read as a known one without meaning the same, with that; each once."""
        return [
            (word, known)
            for word, known in dict.fromkeys(self._read(text))
            if known not in (None, word, other_number(word, self._index), self._lexicon.same.get(word))
        ]

    def _read(self, text: str) -> list[tuple[str, str | None]]:
        """Each word with the known one that it is read as. Hyphens join where that makes a known word ("t-shirt")."""
        joined = _HYPHENATED.sub(
            lambda pair: pair[1] + pair[2] if (pair[1] + pair[2]).casefold() in self._index else pair[0], text
        )
        return [(word, self._known(word)) for word in split_words(joined)]

    def _known(self, word: str) -> str | None:
        if word in self._index:
            return word
        lexicon = self._lexicon
        number = other_number(word, self._index)
        single = other_number(word, lexicon.kind) or word
        for known in (lexicon.same.get(word), number, lexicon.kind.get(word), lexicon.kind.get(single)):
            if known in self._index:
                return known
        alike = set() if word in lexicon.real else one_edit_away(word, self._index)
        return alike.pop() if len(alike) == 1 else None
