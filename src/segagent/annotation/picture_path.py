"""What another program has made of a picture's path: folders before it, backslashes, an address, ``%20``."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True)
class PicturePath:
    """``parts``: folders and name. ``whole``: whether it names a place on a machine, not one in the data set."""

    parts: tuple[str, ...]
    whole: bool


def picture_path(name: str) -> PicturePath:
    """The path that is meant by ``name``, however it is written; what only says where the folder is, is left out."""
    text = name.replace("\\", "/")
    address = re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text)
    if "?d=" in text:
        # How Label Studio writes files of a folder that it serves.
        text = text.rpartition("?d=")[2]
    elif address is not None:
        text = text[address.end() :].partition("?")[0]
    drive = re.match(r"[A-Za-z]:", text)
    text = text[drive.end() :] if drive is not None else text
    written = unicodedata.normalize("NFC", unquote(text)).split("/")
    whole = address is not None or drive is not None or written[0] == "" or ".." in written
    return PicturePath(tuple(part for part in written if part not in ("", ".", "..")), whole)
