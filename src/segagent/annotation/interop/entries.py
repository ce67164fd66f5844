"""What a file of people's corrections says, entry by entry, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import BoolMask, Click
from segagent.core.texts import read_json as read_json_file

MAX_JSON_BYTES = 2**30
"""Larger JSON files are refused: they are read whole."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One mask by a person, not drawn yet.

    Args:
        where: names file and entry, for errors.
        object_id: as far as the file tells; else ``image`` and ``label`` must do.
        image: the picture's name in the run's data set.
        size: (height, width) of the picture, as the file has it.
        draw: the mask. Raises ``ValueError`` saying what is wrong.
        confirmed: whether a person has looked at the mask even where it is as it was exported.
        by: who made it, and ``when``, in the file's words.
        clicks: the person's own, in order.
        kept_given: whether the export had left the data set's own mask in its place, not the run's.
    """

    where: str
    object_id: str | None
    image: str | None
    label: str | None
    size: tuple[int, int]
    draw: Callable[[], BoolMask]
    confirmed: bool
    by: str | None = None
    when: str | None = None
    clicks: tuple[Click, ...] = ()
    kept_given: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry that nothing can be made of, and why."""

    where: str
    reason: str


Found: TypeAlias = Iterator[Entry | Problem]


def read_json(path: Path) -> Any:
    """A whole JSON file. Raises ``InputError`` naming it."""
    return read_json_file(path, max_bytes=MAX_JSON_BYTES)


def length(value: Any, name: str) -> int:
    """A size in pixels. Raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**20:
        raise ValueError(f"{name!r} must be a whole number of pixels above 0, got {value!r:.80}")
    return value


def words(value: Any) -> str | None:
    """Text or a number as text, None for anything else."""
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
