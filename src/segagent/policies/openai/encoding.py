"""Pictures as data URLs, encoded once per content."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from segagent.core import Pixels
from segagent.policies.chat import Picture


@dataclass(frozen=True, slots=True)
class PictureEncoding:
    """``kind``: for pictures that may lose a little; the others are always PNG. ``quality``: of JPEG, 1 to 100."""

    kind: Literal["png", "jpeg"] = "jpeg"
    quality: int = 95


def encode_picture(pixels: Pixels, encoding: PictureEncoding, *, lossless: bool) -> str:
    """A ``data:image/...;base64,`` URL of uint8 RGB (height, width, 3)."""
    swapped = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
    if lossless or encoding.kind == "png":
        # OpenCV's own settings: naming a level, even its default one, takes twice the time for a larger file.
        _, buffer = cv2.imencode(".png", swapped)
        kind = "png"
    else:
        _, buffer = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, encoding.quality])
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.tobytes()).decode('ascii')}"


class EncodedPictures:
    """The most recently used data URLs, up to ``max_bytes`` of them; safe to use from several threads."""

    def __init__(self, encoding: PictureEncoding = PictureEncoding(), max_bytes: int = 64 << 20) -> None:
        self._encoding = encoding
        self._max_bytes = max_bytes
        self._urls: OrderedDict[tuple[str, bool], str] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def url(self, picture: Picture) -> str:
        """The data URL of ``picture``."""
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
