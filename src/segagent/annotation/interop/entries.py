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
class Sheet:
    """One picture of the file, as a person left it; all of the file's masks of it are entries of this ``key``.

    ``kind``: the file's format. ``image``: what the file calls the picture. ``by``, ``when``: in the file's words,
    where it tells.
    """

    key: str
    kind: str
    where: str
    image: str | None
    by: str | None = None
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One mask by a person, not drawn yet.

    Args:
        where: names file and entry, for errors.
        sheet: the key of the :class:`Sheet` that it lies on.
        object_id: which object it is of, as far as the file tells.
        sure: whether ``object_id`` is ours, not a number that any program may have given anew.
        label: the object's class, None where the file tells none.
        size: (height, width) of the picture, as the file has it.
        draw: the mask. Raises ``ValueError`` saying what is wrong.
        confirmed: whether a person has looked at the mask even where it is as it was exported.
        by: who made it, and ``when``, in the file's words.
        clicks: the person's own, in order.
        kept_given: whether the export had left the data set's own mask in its place, not the run's; None: unknown.
        accepted: what the export said of the mask; None where nobody had asked.
        crowd: whether it marks a crowd, which counts only where it is an object of the run.
        blank: whether the file has the object's entry without a mask.
        seen: the number of the last event in people's record when the mask was exported, 0 for none; None where the
            file does not tell.
    """

    where: str
    sheet: str
    object_id: str | None
    sure: bool
    label: str | None
    size: tuple[int, int]
    draw: Callable[[], BoolMask]
    confirmed: bool
    by: str | None = None
    when: str | None = None
    clicks: tuple[Click, ...] = ()
    kept_given: bool | None = False
    accepted: bool | None = None
    crowd: bool = False
    blank: bool = False
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """An entry that nothing can be made of, and why. ``sheet``, ``object_id``: where a mask is missing for it."""

    where: str
    reason: str
    sheet: str | None = None
    object_id: str | None = None


Found: TypeAlias = Iterator[Sheet | Entry | Problem]
"""A sheet stands before its entries."""


def read_json(path: Path) -> Any:
    """A whole JSON file. Raises ``InputError`` naming it."""
    return read_json_file(path, max_bytes=MAX_JSON_BYTES)


def length(value: Any, name: str) -> int:
    """A size in pixels. Raises ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**20:
        raise ValueError(f"{name!r} must be a whole number of pixels above 0, got {value!r:.80}")
    return value


def seen_in(facts: Any) -> int | None:
    """``Entry.seen``, by the provenance that an export wrote; None for what is none."""
    if not isinstance(facts, dict) or "schema" not in facts:
        return None
    number = facts.get("event", 0)
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def words(value: Any) -> str | None:
    """Text or a number as text (7.0 is "7"), None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
