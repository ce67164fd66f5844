"""File names that are there under another spelling: other capitals (Windows), accents (macOS), ``%20`` for a blank."""

from __future__ import annotations

import os
import unicodedata
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote


def spelled_otherwise(path: Path) -> Path | None:
    """What is there under the name of ``path`` but for capitals, the way accents are coded, or ``%20`` and the like."""
    if path.exists():
        return path
    folder = None if path.parent == path else spelled_otherwise(path.parent)
    if folder is None or not folder.is_dir():
        return None
    found = _names_in(folder, folder.stat().st_mtime_ns).get(_plain(path.name))
    return None if found is None else folder / found


@lru_cache(maxsize=8)
def _names_in(folder: Path, _changed: int) -> dict[str, str]:
    """The names in a folder by :func:`_plain`; a data set without its pictures asks for them once a picture."""
    return {_plain(name): name for name in sorted(os.listdir(folder))}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", unquote(name)).casefold()
