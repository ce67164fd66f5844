"""How a word that the model was not taught is read: in another form, as a known kind of thing, or as a misspelling."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

LEXICON = Path(str(files("segagent") / "weights" / "lexicon.tsv"))
"""One word a line, then "same", "kind" or "word" and what it is read as, with tabs between."""
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_SHORTEST = 5
"""Shorter words are not taken for misspelt: too many others are one letter away."""


@dataclass(frozen=True, eq=False)
class Lexicon:
    """``same``: words that mean what another does. ``kind``: nouns, each with the known noun of what it is a kind of.
    ``real``: words of their own that look like another word misspelt.
    """

    same: Mapping[str, str]
    kind: Mapping[str, str]
    real: frozenset[str]

    @staticmethod
    @lru_cache(maxsize=1)
    def packaged() -> Lexicon:
        """That of the package."""
        return Lexicon.load(LEXICON)

    @staticmethod
    def load(path: Path) -> Lexicon:
        """What :meth:`save` wrote."""
        rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        same, kind = ({word: other for word, how, other in rows if how == wanted} for wanted in ("same", "kind"))
        return Lexicon(same, kind, frozenset(word for word, how, _ in rows if how == "word"))

    def save(self, path: Path) -> None:
        """Write the table, sorted by word."""
        rows = [(word, "same", other) for word, other in self.same.items()]
        rows += [(word, "kind", other) for word, other in self.kind.items()]
        rows += [(word, "word", "") for word in self.real]
        path.write_text("".join("\t".join(row) + "\n" for row in sorted(rows)), encoding="utf-8")


def other_number(word: str, known: Container[str]) -> str | None:
    """A plural's singular, or a singular's plural, that is known."""
    forms = [word[:-1]] if word.endswith("s") else [f"{word}s"]
    for ending, others in (("es", ("",)), ("ies", ("y",)), ("ves", ("fe", "f"))):
        if word.endswith(ending):
            forms += [word.removesuffix(ending) + other for other in others]
    return next((form for form in forms if len(form) > 2 and form in known), None)


def one_edit_away(word: str, known: Container[str]) -> set[str]:
    """The known words that ``word`` becomes by one letter left out, put in or changed, or two neighbours swapped.

    Only between words of five letters or more that begin alike.
    """
    if len(word) < _SHORTEST:
        return set()
    return {edit for edit in _edits(word) if len(edit) >= _SHORTEST and edit in known}


def _edits(word: str) -> Iterator[str]:
    for place in range(1, len(word) + 1):
        head, tail = word[:place], word[place:]
        yield from (head + letter + tail for letter in _LETTERS)
        if tail:
            yield head + tail[1:]
            yield from (head + letter + tail[1:] for letter in _LETTERS)
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
