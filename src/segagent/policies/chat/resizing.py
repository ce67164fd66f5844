"""How large a picture is when a model sees it.

We resize a picture ourselves to the size that the model's own preprocessing would choose, so that the latter has
nothing left to do and pixel coordinates are known to mean pixels of the picture we sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np

from segagent.core import InputError, Pixels
from segagent.policies.chat.space import Size


@dataclass(frozen=True, slots=True)
class Keep:
    """The original size."""

    def shown(self, size: Size) -> Size:
        """See :data:`Resize`."""
        return size


@dataclass(frozen=True, slots=True)
class Multiples:
    """Sides rounded to multiples of ``factor``, area kept within ``min_pixels`` .. ``max_pixels`` (Qwen-VL family).

    The rule that the family's documentation calls smart resize: round both sides; if the area is then too large or
    too small, scale both by the same ratio and round down or up.
    """

    factor: int = 28
    min_pixels: int = 56 * 56
    max_pixels: int = 16384 * 28 * 28

    def shown(self, size: Size) -> Size:
        """See :data:`Resize`."""
        height, width = size
        rows, columns = round(height / self.factor), round(width / self.factor)
        area = rows * columns * self.factor**2
        if area > self.max_pixels:
            ratio = math.sqrt(height * width / self.max_pixels)
            rows = max(1, math.floor(height / ratio / self.factor))
            columns = max(1, math.floor(width / ratio / self.factor))
        elif area < self.min_pixels:
            ratio = math.sqrt(self.min_pixels / (height * width))
            rows = math.ceil(height * ratio / self.factor)
            columns = math.ceil(width * ratio / self.factor)
        return rows * self.factor, columns * self.factor


@dataclass(frozen=True, slots=True)
class Within:
    """Shrunk, never enlarged, keeping proportions, to satisfy all limits that are given.

    ``max_side``: of the longer side; ``max_short_side``: of the shorter one; ``max_patches``: of squares of ``patch``
    pixels that cover the picture.
    """

    max_side: int
    max_short_side: int | None = None
    patch: int = 28
    max_patches: int | None = None

    def shown(self, size: Size) -> Size:
        """See :data:`Resize`."""
        height, width = size
        ratio = min(1.0, self.max_side / max(size))
        if self.max_short_side is not None:
            ratio = min(ratio, self.max_short_side / min(size))
        rows, columns = max(1, math.floor(height * ratio)), max(1, math.floor(width * ratio))
        while self.max_patches is not None and self._patches(rows, columns) > self.max_patches:
            ratio *= 0.998
            rows, columns = max(1, math.floor(height * ratio)), max(1, math.floor(width * ratio))
        return rows, columns

    def _patches(self, rows: int, columns: int) -> int:
        return math.ceil(rows / self.patch) * math.ceil(columns / self.patch)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Always ``height`` x ``width``, proportions lost."""

    height: int
    width: int

    def shown(self, size: Size) -> Size:
        """See :data:`Resize`."""
        del size
        return self.height, self.width


Resize: TypeAlias = Keep | Multiples | Within | Fixed
"""A resizing rule: ``shown((height, width))`` is the (height, width) of the picture that the model sees."""

KEEP = Keep()
"""Pictures are shown as they are."""

_KINDS: dict[str, type[Keep] | type[Multiples] | type[Within] | type[Fixed]] = {
    "keep": Keep,
    "multiples": Multiples,
    "within": Within,
    "fixed": Fixed,
}


def resize_to_dict(rule: Resize) -> dict[str, object]:
    """JSON form: the rule's kind and settings."""
    kind = next(name for name, made in _KINDS.items() if isinstance(rule, made))
    return {"kind": kind} | {name: getattr(rule, name) for name in rule.__slots__}


def resize_from_dict(data: object, source: str) -> Resize:
    """Inverse of :func:`resize_to_dict`. Raises ``InputError`` naming ``source`` for anything else."""
    if not isinstance(data, dict) or data.get("kind") not in _KINDS:
        raise InputError(f"{source}: a resizing rule has a 'kind', one of {', '.join(_KINDS)}; got {data!r:.100}")
    settings = {name: value for name, value in data.items() if name != "kind"}
    made = _KINDS[data["kind"]]
    optional = {"max_short_side", "max_patches"}
    for name, value in settings.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if name not in made.__slots__ or not (whole or (value is None and name in optional)):
            raise InputError(
                f"{source}: resizing rule {data['kind']!r}: {name!r} = {value!r:.50} is not a known setting"
            )
    try:
        return made(**settings)
    except TypeError as error:
        raise InputError(f"{source}: resizing rule {data['kind']!r}: {error}") from error


def resized(pixels: Pixels, shown: Size) -> Pixels:
    """``pixels`` (height, width, 3) uint8 at another size: averaged when shrinking, cubic when enlarging."""
    if pixels.shape[:2] == shown:
        return pixels
    shrinking = shown[0] <= pixels.shape[0] and shown[1] <= pixels.shape[1]
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (shown[1], shown[0]), interpolation=method), np.uint8)
