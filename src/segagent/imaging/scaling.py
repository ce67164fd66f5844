"""Pictures and masks at another size: the same way for every panel that a person looks at."""

from __future__ import annotations

import cv2
import numpy as np

from segagent.core import BoolMask, Pixels

_COVERED = 96
"""From how much of 255 on a smaller pixel counts as inside: below one half, so that thin parts are kept."""


def scaled_pixels(pixels: Pixels, scale: float) -> Pixels:
    """``pixels`` times ``scale``: averaged when smaller, hard-edged when enlarged twice or more; at least 1 x 1."""
    height, width = (max(1, round(length * scale)) for length in pixels.shape[:2])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST if scale >= 2 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)


def scaled_mask(mask: BoolMask, height: int, width: int) -> BoolMask:
    """``mask`` at another size, bool (height, width)."""
    interpolation = cv2.INTER_AREA if height < mask.shape[0] else cv2.INTER_NEAREST
    share = cv2.resize(mask.astype(np.uint8) * 255, (width, height), interpolation=interpolation)
    inside: BoolMask = np.asarray(share).reshape(height, width) >= _COVERED
    return inside


def outline(mask: BoolMask, thickness: int = 1) -> BoolMask:
    """The pixels of ``mask`` within ``thickness`` pixels of its edge, the picture's own border not counted as one."""
    side = 2 * thickness + 1
    inner = cv2.erode(mask.astype(np.uint8), np.ones((side, side), np.uint8), borderType=cv2.BORDER_REPLICATE)
    edge: BoolMask = mask & (np.asarray(inner) == 0)
    return edge
