"""The entries of a manifest one after the other, each with its place in the file, in memory that does not grow."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from segagent.core import InputError

_CHUNK = 1 << 20
_MAX_ENTRY = 16 << 20
_SAMPLES = re.compile(r'"samples"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")


def manifest_entries(path: Path) -> Iterator[tuple[int, int, Any]]:
    """Offset and length in bytes, and value, of every entry of ``manifest.jsonl`` or ``manifest.json``.

    A ``.jsonl`` file has one JSON object a line, empty lines are passed over; in a ``.json`` file the entries are the
    objects of the list ``samples``. Raises ``InputError``, while iterating, naming the entry.
    """
    try:
        with path.open("rb") as file:
            encoding = json.detect_encoding(file.read(4))
            if not encoding.startswith("utf-8"):
                raise InputError(f"{path}: is {encoding.upper()} text, which is not read as a stream; save it as UTF-8")
            file.seek(0)
            yield from _lines(file, path) if path.suffix == ".jsonl" else _listed(file, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def read_entry(file: BinaryIO, offset: int, length: int, where: str) -> Any:
    """The entry at a place that :func:`manifest_entries` told. Raises ``InputError`` where the file has changed."""
    file.seek(offset)
    try:
        return json.loads(file.read(length))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: is no JSON object any more; was the file changed while in use?") from error


def _lines(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, Any]]:
    offset, number = 0, 0
    while line := file.readline(_MAX_ENTRY):
        number += 1
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}, line {number}: not a JSON object ({str(error)[:80]})") from error
            yield offset, len(line), value
        offset += len(line)


class _Text:
    """A window on a file's text that knows which byte it begins at."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path = file, path
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._ascii = True
        self.text, self.at, self.byte = "", 0, 0

    def more(self) -> bool:
        """Read on, and forget what was passed. False at the end of the file."""
        chunk = self._file.read(_CHUNK)
        try:
            new = self._decoder.decode(chunk, final=not chunk)
        except ValueError as error:
            raise InputError(f"{self._path}: not UTF-8 text ({str(error)[:80]})") from error
        self.text, self.at = self.text[self.at :] + new, 0
        self._ascii = self.text.isascii()
        return bool(chunk)

    def bytes_to(self, end: int) -> int:
        """How many bytes lie before character ``end``."""
        return end - self.at if self._ascii else len(self.text[self.at : end].encode("utf-8"))

    def skip(self, end: int) -> None:
        """Go on to character ``end``."""
        self.byte += self.bytes_to(end)
        self.at = end


def _listed(file: BinaryIO, path: Path) -> Iterator[tuple[int, int, Any]]:
    window = _Text(file, path)
    while (start := _SAMPLES.search(window.text)) is None:
        if not window.more() or len(window.text) > _MAX_ENTRY:
            raise InputError(f"{path}: expected an object with a list 'samples'")
    window.skip(start.end())
    decode = json.JSONDecoder().raw_decode
    number = 0
    while True:
        between = _BETWEEN.match(window.text, window.at)
        window.skip(between.end() if between else window.at)
        if window.at == len(window.text):
            if not window.more():
                raise InputError(f"{path}: cut short after samples[{number}]")
            continue
        if window.text[window.at] == "]":
            return
        where = f"{path}, samples[{number}]"
        if window.text[window.at] != "{":
            raise InputError(f"{where}: expected an object with 'image', 'mask' and 'text'")
        try:
            value, end = decode(window.text, window.at)
        except (ValueError, RecursionError) as error:
            if isinstance(error, RecursionError) or len(window.text) - window.at > _MAX_ENTRY or not window.more():
                raise InputError(f"{where}: not valid JSON, or cut short ({str(error)[:80]})") from error
            continue
        yield window.byte, window.bytes_to(end), value
        window.skip(end)
        number += 1
