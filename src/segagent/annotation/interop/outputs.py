"""Files and folders that appear whole or not at all, and take the place of others only where that is asked for."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from segagent.core import InputError
from segagent.imaging import whole_file

MARKER = "segagent.json"
"""Lies in every folder that was written here; only a folder with it is ever replaced."""


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """A file to write to that takes its name when the block ends, and vanishes when it fails.

    Raises ``InputError`` if ``path`` is there already and not ``force``, or if it cannot be written.
    """
    refuse_existing(path, force=force)
    with whole_file(path) as file:
        yield file


@contextmanager
def new_folder(path: Path, about: dict[str, Any], *, force: bool) -> Iterator[Path]:
    """A folder to fill that takes its name when the block ends; ``about`` is written into it as :data:`MARKER`.

    Raises ``InputError`` as :func:`new_file` does, and with ``force`` too for a folder that was not written here.
    """
    refuse_existing(path, force=force)
    if path.is_dir() and any(path.iterdir()) and not (path / MARKER).is_file():
        raise InputError(f"{path}: holds files that no export wrote; choose another folder")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; choose another name for the folder")
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); check the folder") from error
    made = work / "new"
    try:
        made.mkdir()
        yield made
        (made / MARKER).write_text(json.dumps(about, indent=1) + "\n", encoding="ascii")
        if path.exists():
            os.replace(path, work / "old")
        os.replace(made, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); check the folder and the disk") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raises ``InputError`` for something that is there, unless ``force``."""
    if path.exists() and not force:
        raise InputError(f"{path}: exists; give --force to replace it, or choose another name")
