"""The picture a policy is shown: the current mask as a half-transparent layer over the image (paper section 2)."""

from __future__ import annotations

from types import MappingProxyType

import cv2
import numpy as np

from segagent.core import BoolMask, Pixels

GREEN = (0, 255, 0)

MASK_COLORS = MappingProxyType({"green": GREEN, "blue": (0, 0, 255), "red": (255, 0, 0)})
"""The colours of paper Table 4."""


def draw_overlay(pixels: Pixels, mask: BoolMask, color: tuple[int, int, int] = GREEN, alpha: float = 0.5) -> Pixels:
    """``pixels`` with ``color`` laid over the pixels of ``mask``; a new uint8 RGB array (height, width, 3).

    Integer arithmetic, the same on every machine: with ``a = round(256 * alpha)`` a covered pixel becomes
    ``(pixel * (256 - a) + color * a) // 256``, which for the default alpha 0.5 is ``(pixel + color) // 2``. Pixels
    outside the mask are unchanged. ``pixels`` is uint8 RGB (height, width, 3), ``mask`` bool (height, width),
    ``alpha`` in [0, 1]. Raises ``ValueError`` if the sizes differ.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.shape[:2] != mask.shape:
        raise ValueError(f"pixels {pixels.shape} and mask {mask.shape} do not fit: (h, w, 3) and (h, w) expected")
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha must lie in [0, 1], got {alpha}")
    height, width = mask.shape
    result = np.array(pixels, order="C")
    # one image row of the colour: adding rows is many times faster than adding a 3-vector to every pixel
    row = np.tile(np.array(color, np.uint8), width)
    flat = result.reshape(height, width * 3)
    weight = round(256 * alpha)
    if weight == 128:
        blended = flat & (row & 1)
        blended += row >> 1
        blended += flat >> 1
    else:
        blended = ((flat.astype(np.uint16) * (256 - weight) + row.astype(np.uint16) * weight) >> 8).astype(np.uint8)
    layer = np.ascontiguousarray(mask).view(np.uint8)
    cv2.copyTo(blended.reshape(result.shape), layer, result)
    return result
