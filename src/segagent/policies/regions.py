"""What the encoder sees of regions of a picture: its features inside each region, of the whole and of a closer look."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from segagent.core import Image, Pixels
from segagent.policies.objects import Soft, soft_box
from segagent.vision.encoder import CHANNELS, Pyramid
from segagent.vision.sight import Sight

LOOK = 128
"""Side of the closer look at a region, in pixels."""
_, _, _, _C16, _C32 = CHANNELS
NUM_SEEN = _C32 + _C16 + 2 * _C32 + _C16
"""Length of :func:`see_regions`: of the whole picture stride 32 and 16 inside the region; of the closer look stride 32
inside, stride 32 all over, stride 16 inside."""
_MARGIN = 1.25
_SMALLEST = 12
_DETAIL = 640


@dataclass(frozen=True, eq=False)
class Scenery:
    """A picture as regions of it are looked at: ``pixels`` uint8 (h, w, 3), shrunken where its longer side had more
    than 640 pixels, and the ``whole`` picture's features.
    """

    pixels: Pixels
    whole: Pyramid


def scenery(sight: Sight, image: Image) -> Scenery:
    """``image`` ready for :func:`see_regions`."""
    scale = _DETAIL / max(image.height, image.width)
    pixels = image.pixels
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return Scenery(pixels, sight.whole(image))


def see_regions(sight: Sight, picture: Scenery, coverages: list[Soft]) -> Tensor:
    """Mask-pooled features float32 (regions, NUM_SEEN).

    ``coverages``: how much each pixel of the picture, resized to a square, belongs to the region; float32 (s, s), 0..1.
    """
    whole = picture.whole
    looks, inside = zip(*(_look(picture.pixels, coverage) for coverage in coverages), strict=True)
    closer = sight.views(np.stack(looks))
    near, far = np.stack(inside), np.stack(coverages)
    return torch.cat(
        (
            _pooled(whole.stride32, far),
            _pooled(whole.stride16, far),
            _pooled(closer.stride32, near),
            closer.stride32.mean((2, 3)),
            _pooled(closer.stride16, near),
        ),
        1,
    )


def _look(pixels: Pixels, coverage: Soft) -> tuple[Pixels, Soft]:
    """The square around a region, uint8 (LOOK, LOOK, 3), and the region's coverage in it, float32 (LOOK, LOOK)."""
    (height, width), side = pixels.shape[:2], coverage.shape[0]
    x0, y0, x1, y1 = soft_box(coverage)
    across, down = width / side, height / side
    length = max(_SMALLEST, round(_MARGIN * max((x1 - x0) * across, (y1 - y0) * down)))
    left, top = round((x0 + x1) / 2 * across - length / 2), round((y0 + y1) / 2 * down - length / 2)
    cx0, cy0, cx1, cy1 = max(left, 0), max(top, 0), min(left + length, width), min(top + length, height)
    beyond = (cy0 - top, top + length - cy1, cx0 - left, left + length - cx1)
    part = cv2.copyMakeBorder(np.ascontiguousarray(pixels[cy0:cy1, cx0:cx1]), *beyond, cv2.BORDER_REPLICATE)
    method = cv2.INTER_AREA if length > LOOK else cv2.INTER_LINEAR
    sx, sy = length / LOOK / across, length / LOOK / down
    matrix = np.array(((sx, 0, left / across + sx / 2 - 0.5), (0, sy, top / down + sy / 2 - 0.5)), np.float32)
    inside = cv2.warpAffine(coverage, matrix, (LOOK, LOOK), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(cv2.resize(part, (LOOK, LOOK), interpolation=method), np.uint8), np.asarray(inside, np.float32)


def _pooled(features: Tensor, coverages: Soft) -> Tensor:
    """Means (regions, channels) of features (1 or regions, channels, h, w) weighted by coverages (regions, s, s)."""
    height, width = features.shape[-2:]
    small = [cv2.resize(c, (width, height), interpolation=cv2.INTER_AREA) for c in coverages]
    weights = torch.from_numpy(np.stack(small))[:, None]
    return (features * weights).sum((2, 3)) / (weights.sum((2, 3)) + 1e-4)
