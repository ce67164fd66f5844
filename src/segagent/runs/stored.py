"""What an evaluation's folder holds: its journal, and beside it what a later start tried again.

``trajectories.jsonl`` is only ever appended to. A round of retries is a journal of its own, ``retried-1.jsonl`` and so
on; each of its units is all that belongs to one image, and takes the place of that image's earlier records.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.runs.journal import read_journal

TRAJECTORIES_FILE = "trajectories.jsonl"
SKIPPED_SCHEMA = "segagent.skipped/1"
EMPTY_SCHEMA = "segagent.empty/1"
"""Of the one record of an image without samples, so that it is known to be done."""

Unit: TypeAlias = tuple[int, list[dict[str, Any]]]
"""An image's place in the data set, and its records."""


def retried_file(folder: Path, number: int) -> Path:
    """The journal of round ``number`` of retries, counted from 1."""
    return folder / f"retried-{number}.jsonl"


def retried_files(file: Path) -> list[Path]:
    """The rounds of retries that belong to an evaluation's journal, in order."""
    if file.name != TRAJECTORIES_FILE:
        return []
    return list(takewhile(_is_begun, (retried_file(file.parent, number) for number in count(1))))


def _is_begun(file: Path) -> bool:
    """Whether there is such a journal; one that was killed before its header was whole is none yet."""
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return content.readline().endswith(b"\n")


def whole_units(file: Path) -> Iterator[Unit]:
    """The units of a journal; a last one that a stopped run left unfinished is left out. Raises ``InputError``."""
    pending: list[dict[str, Any]] = []
    for record in read_journal(file)[1]:
        match record.get("unit"):
            case [int(unit), int(part), int(parts)] if part == len(pending) < parts:
                pending.append(record)
                if len(pending) == parts:
                    yield unit, pending
                    pending = []
            case other:
                raise InputError(f"{file}: out of order (unit {other}); was it edited or joined?")


def merged_units(file: Path, retried: list[Path]) -> Iterator[Unit]:
    """The units of a journal, those of later files in the place of earlier ones; one unit in memory per file.

    Raises ``InputError`` where a file is damaged.
    """
    later = [whole_units(one) for one in retried]
    heads = [next(one, None) for one in later]
    for unit, records in whole_units(file):
        newest = records
        for number, following in enumerate(later):
            while (head := heads[number]) is not None and head[0] < unit:
                heads[number] = next(following, None)
            if head is not None and head[0] == unit:
                newest = head[1]
        yield unit, newest


def has_failure(records: list[dict[str, Any]]) -> bool:
    """Whether something could not be done for one of the samples."""
    return any(Failure.from_dict(record) is not None for record in records)
