"""PNG files, made quickly: uncompressed, or compressed in stripes by several threads. Lossless either way."""

from __future__ import annotations

import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import numpy.typing as npt

from segagent.core import Pixels

_NO_FILTER, _UP = 0, 2
_STRIPE = 100_000
"""Bytes that are worth a thread of their own."""


def quick_png(pixels: Pixels, *, compress: bool) -> bytes:
    """A PNG file of uint8 RGB (height, width, 3)."""
    height, width = pixels.shape[:2]
    flat = np.ascontiguousarray(pixels).reshape(height, 3 * width)
    data = _deflated(_against_line_above(flat)) if compress else zlib.compress(_unfiltered(flat).tobytes(), 0)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        check = zlib.crc32(content, zlib.crc32(name))
        parts += [struct.pack(">I", len(content)), name, content, struct.pack(">I", check)]
    return b"".join(parts)


def _unfiltered(flat: Pixels) -> npt.NDArray[np.uint8]:
    """Lines (height, 1 + bytes), each behind the number of its filter."""
    lines = np.empty((flat.shape[0], 1 + flat.shape[1]), np.uint8)
    lines[:, 0] = _NO_FILTER
    lines[:, 1:] = flat
    return lines


def _against_line_above(flat: Pixels) -> npt.NDArray[np.uint8]:
    """As :func:`_unfiltered`, each line as its difference from the one above."""
    lines = np.empty((flat.shape[0], 1 + flat.shape[1]), np.uint8)
    lines[:, 0] = _UP
    lines[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=lines[1:, 1:])
    return lines


def _deflated(lines: npt.NDArray[np.uint8]) -> bytes:
    """One zlib stream of ``lines``, its stripes compressed side by side: each ends at a byte and refers to no other."""
    count = max(1, min(_num_threads(), lines.size // _STRIPE))
    stripes = [stripe.tobytes() for stripe in np.array_split(lines, count)]
    last = [index + 1 == count for index in range(count)]
    packed = list(_threads().map(_stripe, stripes, last)) if count > 1 else [_stripe(stripes[0], True)]
    check = zlib.adler32(lines.tobytes())
    return b"".join([b"\x78\x01", *packed, struct.pack(">I", check)])


def _stripe(content: bytes, last: bool) -> bytes:
    # Looking for repetitions farther away takes twice the time and gains nothing on photographs.
    packer = zlib.compressobj(1, zlib.DEFLATED, -15, 9, zlib.Z_RLE)
    return packer.compress(content) + packer.flush(zlib.Z_FINISH if last else zlib.Z_FULL_FLUSH)


def _num_threads() -> int:
    return min(4, os.cpu_count() or 1)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_num_threads(), "segagent-png")
