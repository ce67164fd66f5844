"""The named colour of a thing in a photograph, measured; unknown where it is not clear."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Pixels
from segagent.datasets.scenes import COLORS

UNKNOWN = ""
"""The name of an attribute that nobody knows."""
CLEAR, ABSENT = 0.55, 0.12
_TORSO = (0.2, 0.5)
"""Rows, as shares of a standing person's height, where clothes are looked at."""

Shares = npt.NDArray[np.float64]


def _palette() -> npt.NDArray[np.uint8]:
    """Colour number of every (hue 0..179, saturation 0..255, value 0..255); the last two in steps of 4."""
    hue, saturation, value = np.meshgrid(
        np.arange(180) * 2.0, (np.arange(64) * 4 + 2) / 255, (np.arange(64) * 4 + 2) / 255, indexing="ij"
    )
    number = {name: i for i, name in enumerate(COLORS)}
    out = np.full(hue.shape, number["red"], np.uint8)
    for name, low, high in (
        ("orange", 13, 42), ("yellow", 42, 68), ("green", 68, 170), ("blue", 170, 256), ("purple", 256, 292),
        ("pink", 292, 345),
    ):  # fmt: skip
        out[(hue >= low) & (hue < high)] = number[name]
    reddish = (hue >= 340) | (hue < 13)
    out[reddish & (saturation < 0.5) & (value > 0.7)] = number["pink"]
    out[(hue >= 8) & (hue < 50) & ((value < 0.62) | (saturation < 0.5))] = number["brown"]
    pale = saturation < np.where(value > 0.5, 0.16, 0.24)
    out[pale] = number["gray"]
    out[pale & (value > 0.78)] = number["white"]
    out[value < 0.2] = number["black"]
    return out


_PALETTE = _palette()


def colour_shares(pixels: Pixels, mask: BoolMask, *, clothed: bool = False) -> Shares:
    """Share of each of ``COLORS`` among the pixels of ``mask``; of a person's clothes where ``clothed``.

    ``pixels`` uint8 (h, w, 3), ``mask`` bool (h, w); float64 (colours,), summing to 1, zeros for an empty mask.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return np.zeros(len(COLORS))
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    if clothed:
        height = bottom - top
        top, bottom = top + round(_TORSO[0] * height), top + max(1, round(_TORSO[1] * height))
    window = np.s_[top:bottom, columns[0] : columns[-1] + 1]
    blurred = cv2.blur(np.ascontiguousarray(pixels[window]), (3, 3))
    hsv = np.asarray(cv2.cvtColor(blurred, cv2.COLOR_RGB2HSV), np.uint8)
    inside = hsv[mask[window]]
    if not len(inside):
        return np.zeros(len(COLORS))
    numbers = _PALETTE[inside[:, 0], inside[:, 1] >> 2, inside[:, 2] >> 2]
    return np.bincount(numbers, minlength=len(COLORS)) / len(numbers)


def colour_name(shares: Shares) -> str:
    """The colour that clearly prevails, or ``UNKNOWN``."""
    first, second = np.argsort(-shares)[:2]
    return COLORS[first] if shares[first] >= CLEAR and shares[second] <= CLEAR / 2 else UNKNOWN
