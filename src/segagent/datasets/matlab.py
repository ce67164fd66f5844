"""The part of MATLAB 5 files that SBD uses: one structure with numeric fields, read without trusting the numbers.

SciPy's reader can crash the process on a damaged file, and annotation files are untrusted. Format: MathWorks, "MAT-File
Format", level 5, little-endian, compressed or not.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt

_MAX_BYTES = 256 << 20
_DTYPES = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
_MATRIX, _COMPRESSED, _STRUCT, _NUMERIC = 14, 15, 2, range(6, 14)


def read_struct(content: bytes, name: str) -> dict[str, npt.NDArray[Any]]:
    """The numeric fields of the 1 x 1 structure ``name``, each with its own shape. Raises ``ValueError``."""
    if content[:4] != b"MATL" or content[126:128] != b"IM":
        raise ValueError("not a little-endian MATLAB 5 file")
    at = 128
    while at < len(content):
        kind, data, at = _element(content, at)
        if kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            try:
                kind, data, _ = _element(inflater.decompress(data, _MAX_BYTES), 0)
            except zlib.error as error:
                raise ValueError(f"damaged compression ({error})") from error
        if kind == _MATRIX:
            code, _, called, inside = _matrix(data)
            if called == name and code == _STRUCT:
                return _fields(data, inside)
    raise ValueError(f"holds no structure {name}")


def _element(content: bytes, at: int) -> tuple[int, bytes, int]:
    """Type and bytes of the element at an offset, and where the next one begins."""
    if at + 8 > len(content):
        raise ValueError("cut short")
    kind, size = struct.unpack_from("<II", content, at)
    if kind >> 16:
        kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        if size > 4:
            raise ValueError("a small element of more than 4 bytes")
    else:
        start = at + 8
        end = start + size + (0 if kind == _COMPRESSED else -size % 8)
    if start + size > len(content):
        raise ValueError("cut short")
    return kind, content[start : start + size], end


def _matrix(data: bytes) -> tuple[int, list[int], str, int]:
    """Class, shape and name of a matrix, and where its content begins."""
    _, flags, at = _element(data, 0)
    _, shape, at = _element(data, at)
    _, name, at = _element(data, at)
    if len(flags) != 8 or len(shape) != 8:
        raise ValueError("not a matrix of two axes")
    return flags[0], list(struct.unpack("<ii", shape)), name.decode("latin-1"), at


def _fields(data: bytes, at: int) -> dict[str, npt.NDArray[Any]]:
    _, length, at = _element(data, at)
    _, names, at = _element(data, at)
    width = int.from_bytes(length, "little")
    if not 0 < width <= 64 or len(names) % width or len(names) > 64 * width:
        raise ValueError("damaged field names")
    found: dict[str, npt.NDArray[Any]] = {}
    for start in range(0, len(names), width):
        kind, field, at = _element(data, at)
        if kind != _MATRIX:
            raise ValueError("a field that is no matrix")
        if not field:
            continue
        code, shape, _, inside = _matrix(field)
        if code in _NUMERIC:
            stored, values, _ = _element(field, inside)
            dtype = np.dtype(_DTYPES.get(stored, "V1"))
            if stored not in _DTYPES or min(shape) < 0 or shape[0] * shape[1] * dtype.itemsize != len(values):
                raise ValueError(f"a field's values do not fit its shape {shape}")
            array = np.frombuffer(values, dtype).reshape(shape, order="F")
            found[names[start : start + width].split(b"\0")[0].decode("latin-1")] = array
    return found
