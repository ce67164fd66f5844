"""An append-only file of records, one JSON object per line, that may be killed at any moment and gone on with.

The first line is the header: what the records were made with. Records come in *units* (for example all that belongs
to one image), numbered upwards; every line carries ``"unit": [number, part, parts]`` and ends with the CRC-32 of what
stands before it. A unit counts once its last part is in the file, so opening the file again cuts off a torn last line
and an unfinished last unit, and whoever makes the records goes on at :attr:`Journal.next_unit`. Where making them is
deterministic, the finished file is the same, byte for byte, however often it was interrupted.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from segagent.core.errors import InputError
from segagent.core.settings import changed_settings

JOURNAL_SCHEMA = "segagent.journal/1"

_BEGINNING = b'{"schema": "' + JOURNAL_SCHEMA.encode("ascii") + b'"'


class JournalInUseError(InputError):
    """Another process has the journal open for writing."""


class Journal:
    """A journal open for appending, and locked: a second process that opens it gets a :class:`JournalInUseError`."""

    def __init__(
        self,
        path: str | Path,
        config: Mapping[str, Any],
        notes: Mapping[str, Any],
        *,
        kept: Callable[[dict[str, Any]], None] | None = None,
        options: Mapping[str, str] | None = None,
        sync_seconds: float = 5.0,
    ) -> None:
        """Begin a journal at ``path``, or go on with the one that is there.

        Args:
            path: of the file; its folder must exist.
            config: what decides the records. A journal with another ``config`` is refused.
            notes: goes into the header too, but may differ when the journal is opened again.
            kept: called with each record that the file already holds, in order.
            options: by what option a setting of ``config`` is given, for messages; see :func:`changed_settings`.
            sync_seconds: at most so often the disk is waited for; only a power cut can cost what came since.

        Raises:
            InputError: if the file cannot be used, is no journal, is damaged other than at its end, was made with
                another ``config``, or is being written by another process.
        """
        self.path = Path(path)
        self._sync_seconds = sync_seconds
        self._synced = time.monotonic()
        settings = dict(config)
        header = {"schema": JOURNAL_SCHEMA, "config": settings, "notes": dict(notes)}
        if self.path.exists() and not self.path.is_file():
            raise InputError(f"{self.path}: is not a file; choose another name")
        try:
            # Unbuffered: what could not be written must not be tried again when the file is closed.
            self._file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
        except (OSError, ValueError) as error:
            raise InputError(f"{self.path}: cannot be opened for writing ({_reason(error)})") from error
        try:
            _lock(self._file, self.path)
            reader = io.BufferedReader(self._file)
            end, self.next_unit = _scan(reader, self.path, header, kept, options)
            reader.detach()
            self._file.truncate(end)
            self._file.seek(end)
            if end == 0:
                self._write(_line(header))
                self.sync()
        except BaseException:
            self._file.close()
            raise

    def append(self, unit: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Add the records of ``unit``, which must not be below ``next_unit``; a unit without records leaves no trace.

        The data have left this process on return. Raises ``InputError`` if they cannot be written (disk full).
        """
        if unit < self.next_unit:
            raise ValueError(f"unit {unit} was written already; the next one is {self.next_unit}")
        parts = len(records)
        lines = [_line({"unit": [unit, part, parts], **record}) for part, record in enumerate(records)]
        self._write(b"".join(lines))
        self.next_unit = unit + 1
        if time.monotonic() - self._synced >= self._sync_seconds:
            self.sync()

    def sync(self) -> None:
        """Wait until all that was appended is on the disk."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise InputError(f"{self.path}: cannot be written ({_reason(error)}); check the disk") from error
        self._synced = time.monotonic()

    def close(self) -> None:
        """Sync, and let others open the file."""
        try:
            self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        begin = self._file.tell()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            # Half a line would spoil what is written later, should there be room again.
            with suppress(OSError):
                self._file.truncate(begin)
                self._file.seek(begin)
            raise InputError(
                f"{self.path}: cannot be written ({_reason(error)}); free some space and start again to go on"
            ) from error


def read_journal(path: str | Path, first_unit: int = 0) -> tuple[dict[str, Any], Iterator[dict[str, Any]]]:
    """Header and records of a journal, finished or not; a torn last line is left out, the file left as it is.

    With ``first_unit`` the records from that unit on; earlier lines are passed over unread.

    Raises ``InputError``, while iterating too, naming the file and line that is no record.
    """
    name = Path(path)
    try:
        with name.open("rb") as file:
            header = next(_lines(file, name), (0, dict[str, Any]()))[1]
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: cannot be read ({_reason(error)})") from error
    if header.get("schema") != JOURNAL_SCHEMA:
        raise InputError(f"{name}: not a journal; its first line should hold the schema {JOURNAL_SCHEMA!r}")
    return header, _records(name, first_unit)


def placed_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The records of a journal with the offset of each one's line, for :func:`record_at`; else as `read_journal`."""
    with path.open("rb") as file:
        place: int | None = None
        for end, record in _lines(file, path):
            if place is not None:
                yield place, record
            place = end


def placed_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines behind the header with their offsets, checked by their checksums but not read as JSON.

    A torn last line ends them. Raises ``InputError`` naming the file and line that is damaged.
    """
    with path.open("rb") as file:
        offset = 0
        for number, line in enumerate(file, start=1):
            if _body(line) is None:
                if next(file, None) is None:
                    return
                raise _damaged(path, number)
            if number > 1:
                yield offset, line
            offset += len(line)


def record_at(path: Path, place: int) -> dict[str, Any]:
    """The record whose line begins at the offset ``place``. Raises ``InputError`` where there is none (any more)."""
    try:
        with path.open("rb") as file:
            file.seek(place)
            record = _record(file.readline())
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)})") from error
    if record is None:
        raise InputError(f"{path}: holds no record at {place} any more; was it changed?")
    return record


def last_unit(path: Path) -> int:
    """The number of the last unit that a whole line belongs to; -1 for a journal without records."""
    with path.open("rb") as file:
        units = (_unit(line) for line in file if line.endswith(b"\n"))
        return max((unit for unit in units if unit is not None), default=-1)


def _records(path: Path, first_unit: int) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        skipped = 0
        if first_unit:
            start = 0
            for line in file:
                if (_unit(line) or 0) >= first_unit:
                    break
                start += len(line)
                skipped += 1
            file.seek(start)
        for _, record in islice(_lines(file, path, skipped), 0 if skipped else 1, None):
            yield record


_UNIT = re.compile(rb'\{"unit": \[(\d+), ')


def _unit(line: bytes) -> int | None:
    """The unit that a line belongs to, as it is written; None for the header."""
    found = _UNIT.match(line)
    return None if found is None else int(found[1])


def _scan(
    file: BinaryIO,
    path: Path,
    now: dict[str, Any],
    kept: Callable[[dict[str, Any]], None] | None,
    options: Mapping[str, str] | None,
) -> tuple[int, int]:
    """Offset behind the last whole unit, and the number of the unit after it; (0, 0) for a file without header."""
    start = file.read(len(_BEGINNING))
    if not _BEGINNING.startswith(start):
        raise InputError(f"{path}: exists and is not a journal of this program; choose another file")
    file.seek(0)
    lines = _lines(file, path)
    first = next(lines, None)
    if first is None:
        return 0, 0
    end, header = first
    _require_equal(path, header, json.loads(json.dumps(now)), options)
    next_unit, pending = 0, list[dict[str, Any]]()
    for number, (offset, record) in enumerate(lines, start=2):
        match record.get("unit"):
            case [int(unit), int(part), int(parts)] if part == len(pending) < parts and unit >= next_unit:
                pending.append(record)
            case other:
                raise InputError(f"{path}, line {number}: out of order (unit {other}); was it edited or joined?")
        if pending[0]["unit"][0] != unit or pending[0]["unit"][2] != parts:
            raise InputError(f"{path}, line {number}: out of order (unit {unit}); was it edited or joined?")
        if len(pending) == parts:
            for whole in pending:
                if kept is not None:
                    kept(whole)
            pending.clear()
            end, next_unit = offset, unit + 1
    return end, next_unit


def _lines(file: BinaryIO, path: Path, skipped: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Offset behind each line, and its object. A last line that is torn ends it, any other odd one raises.

    ``skipped`` lines stand before where ``file`` is read from.
    """
    offset = 0
    for number, line in enumerate(file, start=skipped + 1):
        offset += len(line)
        record = _record(line)
        if record is not None:
            yield offset, record
        elif next(file, None) is None:
            return
        else:
            raise _damaged(path, number)


def _damaged(path: Path, line: int) -> InputError:
    return InputError(
        f"{path}, line {line}: damaged, no JSON object with the right checksum; remove the lines from here on"
    )


def _require_equal(path: Path, before: dict[str, Any], now: dict[str, Any], options: Mapping[str, str] | None) -> None:
    """Refuse settings other than those of the header ``before``."""
    config, notes = before.get("config"), before.get("notes")
    old, new = config if isinstance(config, dict) else {}, now["config"]
    told = changed_settings(old, new, options)
    if not told:
        return
    named, other = notes.get("dataset") if isinstance(notes, dict) else None, now["notes"].get("dataset")
    if old.get("dataset") != new.get("dataset") and named != other:
        told = f"dataset {json.dumps(named)}, now {json.dumps(other)}; {told}"
    raise InputError(
        f"{path}: was begun with other settings ({told}); use the same ones to go on, or another file to begin anew"
    )


def _line(value: Mapping[str, Any]) -> bytes:
    body = json.dumps(value).encode("ascii")[:-1]
    return body + b', "crc": "%08x"}\n' % zlib.crc32(body)


_CHECKSUM = re.compile(rb', "crc": "([0-9a-f]{8})"}\n\Z')
_CHECKSUM_BYTES = 21


def _record(line: bytes) -> dict[str, Any] | None:
    """The object of a whole line whose checksum, if it has one (lines of earlier versions do not), is right."""
    body = _body(line)
    try:
        record = None if body is None else json.loads(body)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _body(line: bytes) -> bytes | None:
    """A whole line without its checksum, if it has one; None where that is wrong or the line is torn."""
    checksum = _CHECKSUM.search(line, max(0, len(line) - _CHECKSUM_BYTES))
    if checksum is None:
        return line if line.endswith(b"\n") else None
    body = line[: checksum.start()]
    return body + b"}" if zlib.crc32(body) == int(checksum[1], 16) else None


def _lock(file: io.FileIO, path: Path) -> None:
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JournalInUseError(
                f"{path}: another process is writing it; wait for that one or choose another"
            ) from error
        except OSError:
            return  # A file system without locks.


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else str(error)
