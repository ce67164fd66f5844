"""Where things stand in the text of a JSON file, so that some can be changed and every other byte stays.

The text is the file's bytes read as Latin-1: one character per byte, so places are byte offsets and a file costs its
size in memory, whatever it holds. What structures JSON is ASCII; strings come out garbled and are read anew from their
bytes where they matter. What is not as it should be raises ``ValueError`` naming the byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_BLANK = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: its name, and where its value begins and ends."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Span:
    """An object in the text: from its opening brace to behind its closing one."""

    start: int
    end: int
    members: tuple[Member, ...]

    def member(self, name: str) -> Member | None:
        """The member that a reader would take, which is the last one of that name."""
        return next((member for member in reversed(self.members) if member.name == name), None)


def read_object(text: str, start: int) -> Span:
    """The object that begins at ``start``."""
    members: list[Member] = []
    place = enter(text, start, "{")
    while text[place : place + 1] != "}":
        name, begin = read_name(text, place, first=not members)
        end = value_end(text, begin)
        members.append(Member(name, begin, end))
        place = skip_blank(text, end)
    return Span(start, place + 1, tuple(members))


def read_objects(text: str, start: int) -> Iterator[Span]:
    """The objects of the list that begins at ``start``, one at a time."""
    place = enter(text, start, "[")
    first = True
    while text[place : place + 1] != "]":
        if not first:
            place = enter(text, place, ",")
        span = read_object(text, place)
        yield span
        place, first = skip_blank(text, span.end), False


def read_name(text: str, place: int, *, first: bool) -> tuple[str, int]:
    """The name of the member at ``place``, where a comma stands unless it is the ``first``, and its value's place."""
    if not first:
        place = enter(text, place, ",")
    name, after = _value(text, place)
    if not isinstance(name, str):
        raise ValueError(f"expected a name at byte {place}")
    return name, enter(text, skip_blank(text, after), ":")


def value_end(text: str, start: int) -> int:
    """The place behind the value that begins at ``start``."""
    return _value(text, start)[1]


def enter(text: str, place: int, wanted: str) -> int:
    """The first place behind the ``wanted`` character at ``place`` that is no white space."""
    if text[place : place + 1] != wanted:
        raise ValueError(f"expected {wanted!r} at byte {place}")
    return skip_blank(text, place + 1)


def skip_blank(text: str, place: int) -> int:
    """The first place from ``place`` on that is no white space."""
    match = _BLANK.match(text, place)
    assert match is not None
    return match.end()


def _value(text: str, place: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except RecursionError as error:
        raise ValueError(f"nested too deeply at byte {place}") from error
