"""Text that people and their programs hand in, JSON above all: byte order marks, UTF-16, and words for what is wrong.

Everything that reads such a file reads it here, so that a file saved by a program on Windows is read everywhere, or
refused everywhere with the same words.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segagent.core.errors import InputError


def read_file(path: Path, wanted: str = "", max_bytes: int | None = None) -> bytes:
    """A whole file. ``wanted`` says what is expected there, and where to get it.

    Raises ``InputError`` for a file that is not there, cannot be read, or is larger than ``max_bytes``.
    """
    more = f"; {wanted}" if wanted else ""
    try:
        with path.open("rb") as file:
            content = file.read() if max_bytes is None else file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file{more}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}){more}") from error
    if max_bytes is not None and len(content) > max_bytes:
        raise InputError(f"{path}: larger than {max_bytes / 1e6:.0f} MB, too large for such a file{more}")
    return content


def decode_text(content: bytes, where: str | Path, fallback: str | None = None) -> str:
    """The text of a file's bytes: UTF-8, UTF-16 or UTF-32, with or without a byte order mark, which is left out.

    Line ends stay as they are. ``fallback``: the 8-bit encoding of files that are known to have been written in it; by
    default none is guessed, for each of them would give letters, and most the wrong ones. Raises ``InputError`` that
    begins with ``where`` and names the line that is no such text.
    """
    if content.startswith(b"PK\x03\x04"):
        raise InputError(f"{where}: a zip archive; unpack it, and give the file or folder that is in it")
    encoding = json.detect_encoding(content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if not encoding.startswith("utf-8"):
            raise InputError(f"{where}: begins like {encoding.upper()} text and is none; save it as UTF-8") from error
        if fallback is not None:
            try:
                return content.decode(fallback)
            except UnicodeDecodeError:
                pass  # Told below, as what it was not either.
        before = content[: error.start]
        line = before.count(b"\n") + 1
        text = before.rpartition(b"\n")[2][-20:].decode("utf-8", "ignore")
        raise InputError(
            f"{where}, line {line}: not UTF-8 text (byte 0x{content[error.start]:02X} behind "
            f"{text!r}; perhaps Latin-1 or Windows-1252); save it as UTF-8"
        ) from error


def parse_json(
    content: bytes,
    where: str | Path,
    wanted: str = "",
    *,
    fallback: str | None = None,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
) -> Any:
    """The value of a JSON file's bytes; ``fallback`` as in :func:`decode_text`, ``object_hook`` as in ``json.loads``.

    ``wanted`` as in :func:`read_file`. Raises ``InputError`` that begins with ``where``.
    """
    text = decode_text(content, where, fallback)
    more = f"; {wanted}" if wanted else ""
    try:
        return json.loads(text, object_hook=object_hook)
    except RecursionError as error:
        raise InputError(f"{where}: not valid JSON (nested too deeply){more}") from error
    except ValueError as error:
        raise InputError(f"{where}: not valid JSON ({str(error)[:120]}){more}") from error


def read_json(path: Path, wanted: str = "", max_bytes: int | None = None) -> Any:
    """The value of a JSON file; see :func:`read_file` and :func:`parse_json`."""
    return parse_json(read_file(path, wanted, max_bytes), path, wanted)


def read_text(path: Path, wanted: str = "", max_bytes: int | None = None) -> str:
    """The text of a file; see :func:`read_file` and :func:`decode_text`."""
    return decode_text(read_file(path, wanted, max_bytes), path)
