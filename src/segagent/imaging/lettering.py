"""Words on pictures: fonts that need nothing installed, clean-up of arbitrary text, wrapping and shortening."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_WIDER_FONTS = (
    "DejaVuSans.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSans-Regular.ttf",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "arial.ttf",
)
"""Tried by name among the system's fonts, only for text that Pillow's own font lacks letters for."""

_DIRECTION_CONTROLS = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


def printable(text: str) -> str:
    """``text`` on one line, without control characters, direction overrides and lone surrogates."""
    text = text.encode("utf-8", "replace").decode("utf-8").translate(_DIRECTION_CONTROLS)
    kept = (" " if unicodedata.category(letter) in {"Cc", "Zl", "Zp"} else letter for letter in text)
    return " ".join("".join(kept).split())


def font_for(text: str, size: int) -> Font:
    """A font of ``size`` pixels that draws as much of ``text`` as any at hand; missing letters become boxes."""
    own = _own_font(size)
    if text.isascii() or not _missing(own, text):
        return own
    fonts = [own, *(font for name in _WIDER_FONTS if (font := _system_font(name, size)) is not None)]
    return min(fonts, key=lambda font: _missing(font, text))


def shortened(text: str, font: Font, width: float) -> str:
    """``text`` if it fits into ``width`` pixels, otherwise its beginning and an ellipsis."""
    if font.getlength(text) <= width:
        return text
    low, high = 0, min(len(text), 2000)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"


def wrapped(text: str, font: Font, width: float, max_lines: int) -> list[str]:
    """``text`` broken into at most ``max_lines`` lines of ``width`` pixels; what is left over becomes an ellipsis."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < max_lines:
        taken = 1
        while taken < len(words) and font.getlength(" ".join(words[: taken + 1])) <= width:
            taken += 1
        last = len(lines) == max_lines - 1
        line = " ".join(words if last else words[:taken])
        lines.append(shortened(line, font, width))
        words = words[taken:]
    return lines or [""]


@lru_cache(maxsize=16)
def _own_font(size: int) -> Font:
    return ImageFont.load_default(size=size)


@lru_cache(maxsize=32)
def _system_font(name: str, size: int) -> Font | None:
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _missing(font: Font, text: str) -> int:
    """How many of the distinct letters of ``text`` the font draws as its box for unknown letters."""
    unknown = bytes(font.getmask("\U0010fffd"))
    return sum(bytes(font.getmask(letter)) == unknown for letter in set(text) if not letter.isspace())
