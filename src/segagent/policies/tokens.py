"""Words of a sentence as numbers. A word nobody taught is the unknown token, never an error."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

PADDING = 0
UNKNOWN = 1
MAX_WORDS = 32

_WORD = re.compile(r"[^\W_]+", re.UNICODE)


def split_words(text: str) -> list[str]:
    """The lower-case words of ``text``; anything that is no letter or digit separates words."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def swap_sides(text: str) -> str:
    """``text`` as it would describe the picture mirrored left to right."""
    sides = {"left": "right", "right": "left", "leftmost": "rightmost", "rightmost": "leftmost"}
    return " ".join(sides.get(word, word) for word in split_words(text))


class Vocabulary:
    """A fixed list of words. Number 0 is padding and 1 the unknown word."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words: tuple[str, ...] = tuple(sorted(set(words)))
        self._index = {word: number for number, word in enumerate(self.words, start=2)}

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, text: str) -> list[int]:
        """Numbers of the first ``MAX_WORDS`` words; ``[UNKNOWN]`` for a text without any."""
        numbers = [self._index.get(word, UNKNOWN) for word in split_words(text)[:MAX_WORDS]]
        return numbers or [UNKNOWN]

    def encode_padded(self, texts: Sequence[str]) -> list[list[int]]:
        """:meth:`encode` of each text, filled with ``PADDING`` to one length."""
        rows = [self.encode(text) for text in texts]
        longest = max((len(row) for row in rows), default=1)
        return [row + [PADDING] * (longest - len(row)) for row in rows]

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the vocabulary lacks, each once, in order of appearance."""
        return [word for word in dict.fromkeys(split_words(text)) if word not in self._index]
