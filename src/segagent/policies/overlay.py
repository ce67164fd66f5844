"""The current mask as the model is shown it: a half-transparent layer over the picture, and how it is seen again.

The layer is green. Another colour is there for the paper's Table 4: both functions must be given the same one.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Pixels

Color: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0..255."""

GREEN: Color = (0, 255, 0)
ALPHA = 0.5


def shrunken_mask(mask: BoolMask, side: int) -> npt.NDArray[np.float32]:
    """The share of each cell of a ``side`` x ``side`` grid that a mask (height, width) covers, float32 in 0..1."""
    height, width = mask.shape
    method = cv2.INTER_AREA if height >= side and width >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask.astype(np.float32), (side, side), interpolation=method), np.float32)


def draw_overlay(pixels: Pixels, coverage: npt.NDArray[np.float32], color: Color = GREEN) -> Pixels:
    """``pixels`` uint8 (s, s, 3) with the layer laid over where ``coverage`` (s, s) in 0..1 says; rounded."""
    weight = (ALPHA * coverage)[..., None]
    mixed = pixels * (1 - weight) + np.array(color, np.float32) * weight
    return np.asarray(np.rint(mixed), np.uint8)


def seen_mask(overlay: Pixels, clean: Pixels, color: Color = GREEN) -> npt.NDArray[np.float32]:
    """The coverage that explains ``overlay`` best as ``clean`` with the layer, by least squares per pixel.

    Both uint8 (s, s, 3); float32 (s, s) in 0..1. Where the picture itself has that colour nothing can be seen: 0.
    """
    change = overlay.astype(np.float32) - clean
    possible = np.array(color, np.float32) - clean
    strength = (possible * possible).sum(-1)
    coverage = (change * possible).sum(-1) / np.maximum(ALPHA * strength, 1)
    clipped: npt.NDArray[np.float32] = np.clip(coverage, 0, 1).astype(np.float32, copy=False)
    return clipped
