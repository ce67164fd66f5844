"""The picture that an episode is about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Image:
    """A decoded RGB picture: ``pixels`` uint8 (height, width, 3), read-only."""

    pixels: Pixels

    @staticmethod
    def of(pixels: npt.NDArray[Any]) -> Image:
        """An image from uint8 (height, width, 3) RGB pixels, copied and frozen. Raises ``ValueError`` otherwise."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(
                f"expected uint8 RGB pixels (height, width, 3), got {pixels.dtype} with shape {pixels.shape}"
            )
        copy = np.array(pixels, order="C")
        copy.setflags(write=False)
        return Image(copy)

    @property
    def height(self) -> int:
        """Number of rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.pixels.shape[1])

    @cached_property
    def key(self) -> str:
        """A name of the content, so that whatever was computed once for a picture can be found again."""
        digest = hashlib.blake2b(self.pixels.data, digest_size=16)
        digest.update(f"{self.height}x{self.width}".encode())
        return digest.hexdigest()
