"""What a run's journal holds, read image by image: what was tried again takes the place of what had failed.

A journal is only ever appended to. Units 0 to ``num_images`` - 1 are the images; a retry appends: its unit numbers go
on from there, once around per round, and its records of a sample replace that sample's failure. Evaluations of version
0.1.0 kept each round of retries in a journal of its own beside the first, ``retried-1.jsonl`` and so on, in which each
unit is all that belongs to one image; those are read too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.runs.journal import last_unit, read_journal

TRAJECTORIES_FILE = "trajectories.jsonl"
"""An evaluation's journal."""

EMPTY_SCHEMA = "segagent.empty/1"
"""Of the one record of an image without samples, so that it is known to be done."""

SKIPPED_SCHEMA = "segagent.skipped/1"
"""Of the record of a sample that the run has no use for."""

Unit: TypeAlias = tuple[int, list[dict[str, Any]]]
"""An image's place in the data set, and its records."""


def sample_of(record: dict[str, Any]) -> str:
    """The id of the sample that a record is about; empty for a record of an image without samples."""
    return str(record.get("object_id", record.get("sample_id", "")))


def stored_images(file: Path) -> Iterator[Unit]:
    """The images of a run's journal with the last word on each of their samples, in the data set's order.

    A last image that a stopped run left unfinished is left out. What was tried again is held in memory, all else is
    not. Raises ``InputError`` where a file is damaged.
    """
    header, _ = read_journal(file)
    num_images = _num_images(header)
    again: defaultdict[int, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    if num_images is not None and last_unit(file) >= num_images:
        for unit, records in _units(file, read_journal(file, num_images)[1]):
            made: dict[str, list[dict[str, Any]]] = {}
            for record in records:
                made.setdefault(sample_of(record), []).append(record)
            again[unit % num_images].update(made)
    for unit, records in _merged(file, retried_files(file)):
        if num_images is not None and unit >= num_images:
            return
        newer = again.get(unit, {})
        yield unit, [new for old in records for new in _last_word(old, newer)]


def _last_word(record: dict[str, Any], newer: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [record] if Failure.from_dict(record) is None else newer.get(sample_of(record), [record])


def _num_images(header: dict[str, Any]) -> int | None:
    """How many images the run's data set has, so which units are retries; None where nothing tells, and none is."""
    places = (header.get("config"), header.get("notes"))
    found = [place["num_images"] for place in places if isinstance(place, dict) and "num_images" in place]
    return max(int(found[0]), 1) if found else None


def _units(file: Path, records: Iterable[dict[str, Any]]) -> Iterator[Unit]:
    """The whole units of some records of ``file``."""
    pending: list[dict[str, Any]] = []
    for record in records:
        match record.get("unit"):
            case [int(unit), int(part), int(parts)] if part == len(pending) < parts:
                pending.append(record)
                if len(pending) == parts:
                    yield unit, pending
                    pending = []
            case other:
                raise InputError(f"{file}: out of order (unit {other}); was it edited or joined?")


def retried_files(file: Path) -> list[Path]:
    """The rounds of retries of version 0.1.0 that lie beside an evaluation's journal, in order."""
    if file.name != TRAJECTORIES_FILE:
        return []
    rounds = (file.parent / f"retried-{number}.jsonl" for number in count(1))
    return list(takewhile(_is_begun, rounds))


def _is_begun(file: Path) -> bool:
    """Whether there is such a journal; one that was killed before its header was whole is none yet."""
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return content.readline().endswith(b"\n")


def _merged(file: Path, retried: list[Path]) -> Iterator[Unit]:
    """The units of a journal, those of later files in the place of earlier ones; one unit in memory per file."""
    later = [_units(one, read_journal(one)[1]) for one in retried]
    heads = [next(one, None) for one in later]
    for unit, records in _units(file, read_journal(file)[1]):
        newest = records
        for number, following in enumerate(later):
            while (head := heads[number]) is not None and head[0] < unit:
                heads[number] = next(following, None)
            if head is not None and head[0] == unit:
                newest = head[1]
        yield unit, newest
