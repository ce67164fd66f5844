"""Pictures as data URLs, encoded once per content, and request bodies that hold them."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from segagent.core import Pixels
from segagent.core.recent import Recent
from segagent.imaging import quick_png
from segagent.policies.chat import Picture

_MAX_STORED = 2_000_000
"""Pixels up to which a PNG may be left uncompressed; servers bound the size of requests."""


@dataclass(frozen=True, slots=True)
class PictureEncoding:
    """``kind``: for pictures that may lose a little; the others are always PNG. ``quality``: of JPEG, 1 to 100.

    ``compress``: whether PNGs are compressed, which takes most of their time and saves a third of a photograph's bytes.
    None leaves it to the server's address: on this machine bytes cost less than time.
    """

    kind: Literal["png", "jpeg"] = "jpeg"
    quality: int = 95
    compress: bool | None = None


def encode_picture(pixels: Pixels, encoding: PictureEncoding, *, lossless: bool) -> bytes:
    """A ``data:image/...;base64,`` URL, ASCII, of uint8 RGB (height, width, 3)."""
    if lossless or encoding.kind == "png":
        stored = encoding.compress is False and pixels.shape[0] * pixels.shape[1] <= _MAX_STORED
        return b"data:image/png;base64," + base64.b64encode(quick_png(pixels, compress=not stored))
    swapped = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    _, buffer = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, encoding.quality])
    return b"data:image/jpeg;base64," + base64.b64encode(bytes(buffer))


class UrlMarks:
    """Short stand-ins for data URLs in a request body: such a URL has nothing to escape, so JSON need not read it."""

    def __init__(self) -> None:
        self._begin = f"data-url-{secrets.token_hex(12)}-"

    def mark(self, index: int) -> str:
        """What stands in the body for the ``index``-th URL; nobody else can have written it there."""
        return f"{self._begin}{index};"

    def encoded(self, body: Mapping[str, Any], urls: list[bytes]) -> bytes:
        """``body`` as JSON with every mark replaced by its URL."""
        text = json.dumps(body).encode("utf-8", "surrogatepass")
        first, *rest = text.split(self._begin.encode("ascii"))
        parts = [first]
        for piece in rest:
            index, _, tail = piece.partition(b";")
            parts += [urls[int(index)], tail]
        return b"".join(parts)


class EncodedPictures:
    """The most recently used data URLs, up to ``max_bytes`` of them; safe to use from several threads."""

    def __init__(self, encoding: PictureEncoding = PictureEncoding(), max_bytes: int = 64 << 20) -> None:
        self._encoding = encoding
        self._urls: Recent[tuple[str, bool], bytes] = Recent(max_bytes, len)

    def url(self, picture: Picture) -> bytes:
        """The data URL of ``picture``, ASCII."""

        def make() -> bytes:
            return encode_picture(picture.pixels, self._encoding, lossless=picture.lossless)

        return self._urls.made((picture.key, picture.lossless), make)
