"""Pictures as data URLs, encoded once per content, and request bodies that hold them."""

from __future__ import annotations

import base64
import json
import secrets
import struct
import threading
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np

from segagent.core import Pixels
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
    pixels = np.ascontiguousarray(pixels)
    if lossless or encoding.kind == "png":
        stored = encoding.compress is False and pixels.shape[0] * pixels.shape[1] <= _MAX_STORED
        # OpenCV's own settings: naming a level, even its default one, takes twice the time for a larger file.
        content = stored_png(pixels) if stored else _encoded(".png", pixels, [])
        head = b"data:image/png;base64,"
    else:
        content = _encoded(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, encoding.quality])
        head = b"data:image/jpeg;base64,"
    return head + base64.b64encode(content)


def _encoded(kind: str, pixels: Pixels, settings: list[int]) -> bytes:
    _, buffer = cv2.imencode(kind, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), settings)
    return bytes(buffer)


def stored_png(pixels: Pixels) -> bytes:
    """A PNG file of uint8 RGB (height, width, 3) whose pixels are not compressed."""
    height, width = pixels.shape[:2]
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter, 0: none
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 0)), (b"IEND", b""))
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, data in chunks:
        parts += [struct.pack(">I", len(data)), name, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(name)))]
    return b"".join(parts)


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
        self._max_bytes = max_bytes
        self._urls: OrderedDict[tuple[str, bool], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def url(self, picture: Picture) -> bytes:
        """The data URL of ``picture``, ASCII."""
        key = (picture.key, picture.lossless)
        with self._lock:
            if key in self._urls:
                self._urls.move_to_end(key)
                return self._urls[key]
        url = encode_picture(picture.pixels, self._encoding, lossless=picture.lossless)
        with self._lock:
            if key not in self._urls:
                self._urls[key] = url
                self._bytes += len(url)
            while self._bytes > self._max_bytes and len(self._urls) > 1:
                self._bytes -= len(self._urls.popitem(last=False)[1])
        return url
