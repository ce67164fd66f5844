"""Label Studio's own run-length encoding of brush masks, written and read.

A mask is an RGBA picture, row by row, as a stream of bits: how many values there are (32 bits), how many bits a value
has less one (5), and four sizes less one (4 bits each) that run lengths may be written in. Then come runs: a bit that
tells whether the values are all the same, two bits that choose a size, the length less one in that size, and the one
value or all of them. Tasks hold the bytes of the stream as a list of numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, frozen_mask

_SIZES = (3, 4, 8, 16)
_CHANNELS = 4
_MAX_VALUES = 2**32 - 1

Bits = npt.NDArray[np.uint8]


def encode_brush(mask: BoolMask) -> list[int]:
    """The stream for a bool mask (height, width): 255 in all four channels inside, 0 outside."""
    flat = mask.ravel()
    if flat.size * _CHANNELS > _MAX_VALUES:
        raise ValueError(f"a mask of {flat.size} pixels is too large for this encoding")
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]) + 1, flat.size)
    inside = flat[ends - 1]
    lengths = np.diff(ends, prepend=0) * _CHANNELS
    longest = 1 << _SIZES[-1]
    pieces = -(-lengths // longest)
    runs = np.full(int(pieces.sum()), longest, np.int64)
    runs[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * longest
    values = np.repeat(inside, pieces).astype(np.int64) * 255
    choice = np.searchsorted([1 << size for size in _SIZES], runs)
    widths = np.array(_SIZES)[choice]
    # Every run as one number: the same values, the choice, the length, the value.
    codes = ((((4 + choice) << widths) | (runs - 1)) << 8) | values
    header = [(flat.size * _CHANNELS, 32), (7, 5), *((size - 1, 4) for size in _SIZES)]
    parts = [_bits(np.array([value]), np.array([width])) for value, width in header]
    stream = np.packbits(np.concatenate([*parts, _bits(codes, 3 + widths + 8)]))
    return [int(byte) for byte in stream]


def decode_brush(stream: Any, height: int, width: int) -> BoolMask:
    """The mask of a stream: bool (height, width), pixels more opaque than half.

    Raises ``ValueError`` for what is no such stream, or one of another size.
    """
    if not isinstance(stream, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in stream):
        raise ValueError("brush RLE must be a list of bytes")
    bits = np.unpackbits(np.array(stream, np.uint8))
    reader = _BitReader(bits)
    count, word = reader.number(32), reader.number(5) + 1
    sizes = [reader.number(4) + 1 for _ in range(4)]
    if count != height * width * _CHANNELS:
        raise ValueError(f"brush RLE has {count} values, a picture of {width} x {height} (width x height) has others")
    if word != 8:
        raise ValueError(f"brush RLE has values of {word} bits, expected 8")
    values = np.empty(count, np.uint8)
    done = 0
    while done < count:
        same = reader.number(1)
        length = reader.number(sizes[reader.number(2)]) + 1
        if done + length > count:
            raise ValueError("brush RLE holds a run beyond its end")
        values[done : done + length] = reader.number(8) if same else reader.bytes(length)
        done += length
    return frozen_mask(values.reshape(height, width, _CHANNELS)[:, :, 3] > 127)


class _BitReader:
    def __init__(self, bits: Bits) -> None:
        self._bits, self._place = bits, 0

    def _take(self, count: int) -> Bits:
        end = self._place + count
        if end > self._bits.size:
            raise ValueError("brush RLE ends in the middle of a run")
        taken = self._bits[self._place : end]
        self._place = end
        return taken

    def number(self, size: int) -> int:
        """A whole number of ``size`` bits, the highest first."""
        taken = self._take(size)
        return int.from_bytes(np.packbits(taken).tobytes(), "big") >> (-size % 8)

    def bytes(self, count: int) -> Bits:
        """``count`` values of eight bits."""
        return np.packbits(self._take(8 * count))


def _bits(numbers: npt.NDArray[np.int64], widths: npt.NDArray[np.int64]) -> Bits:
    """The numbers, each in its own width, one behind the other, as zeros and ones."""
    widest = int(widths.max())
    places = np.arange(widest - 1, -1, -1)
    table = (numbers[:, None] >> places) & 1
    return table[places < widths[:, None]].astype(np.uint8)
