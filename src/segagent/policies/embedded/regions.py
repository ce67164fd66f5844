"""What the encoder sees of regions of a picture: its features inside each region, of the whole and of a closer look."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from segagent.core import Image, Pixels
from segagent.policies.embedded.objects import Soft, soft_box
from segagent.vision.encoder import CHANNELS, Pyramid
from segagent.vision.sight import Sight

LOOK = 128
"""Side of the closer look at a region, in pixels."""
_, _, _, _C16, _C32 = CHANNELS
NUM_SEEN = _C32 + _C16 + 2 * _C32 + _C16
"""Length of :func:`see_regions`: of the whole picture stride 32 and 16 inside the region; of the closer look stride 32
inside, stride 32 all over, stride 16 inside."""
CLOSER_INSIDE = slice(_C32 + _C16, 2 * _C32 + _C16)
CLOSER_ALL = slice(2 * _C32 + _C16, 3 * _C32 + _C16)
"""Of these, stride 32 of the closer look."""
MARGIN = 1.25
"""The closer look's side over the longer side of the region's box."""
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
    return Scenery(shrunken(image.pixels), sight.whole(image))


def shrunken(pixels: Pixels) -> Pixels:
    """A picture as closer looks are taken of it, its longer side at most 640 pixels."""
    height, width = pixels.shape[:2]
    scale = _DETAIL / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def see_regions(sight: Sight, picture: Scenery, coverages: list[Soft]) -> Tensor:
    """Mask-pooled features float32 (regions, NUM_SEEN).

    ``coverages``: how much each pixel of the picture, resized to a square, belongs to the region; float32 (s, s), 0..1.
    """
    whole = picture.whole
    looks, inside = zip(*(closer_look(picture.pixels, coverage, LOOK, MARGIN) for coverage in coverages), strict=True)
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


def closer_look(pixels: Pixels, coverage: Soft, side: int, margin: float) -> tuple[Pixels, Soft]:
    """The square around a region, uint8 (side, side, 3), and the region's coverage in it, float32 (side, side).

    ``coverage``: of the whole picture, float32 (any height, any width) in 0..1. ``margin``: the square's side over the
    longer side of the region's box.
    """
    square = looked_at(pixels.shape[:2], coverage, margin)
    return look_into(pixels, square, side), covered(coverage, pixels.shape[:2], square, side)


def looked_at(shape: tuple[int, ...], coverage: Soft, margin: float) -> tuple[int, int, int]:
    """(left, top, length) of the square around a region in a picture of ``shape`` (height, width), in its pixels."""
    (height, width), (rows, columns) = shape, coverage.shape
    x0, y0, x1, y1 = soft_box(coverage)
    across, down = width / columns, height / rows
    length = max(_SMALLEST, round(margin * max((x1 - x0) * across, (y1 - y0) * down)))
    return round((x0 + x1) / 2 * across - length / 2), round((y0 + y1) / 2 * down - length / 2), length


def look_into(pixels: Pixels, square: tuple[int, int, int], side: int) -> Pixels:
    """A square (left, top, length) of a picture, uint8 (side, side, 3); beyond the picture its border goes on."""
    (height, width), (left, top, length) = pixels.shape[:2], square
    cx0, cy0, cx1, cy1 = max(left, 0), max(top, 0), min(left + length, width), min(top + length, height)
    beyond = (cy0 - top, top + length - cy1, cx0 - left, left + length - cx1)
    part = cv2.copyMakeBorder(np.ascontiguousarray(pixels[cy0:cy1, cx0:cx1]), *beyond, cv2.BORDER_REPLICATE)
    method = cv2.INTER_AREA if length > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (side, side), interpolation=method), np.uint8)


def covered(coverage: Soft, shape: tuple[int, ...], square: tuple[int, int, int], side: int) -> Soft:
    """A region's coverage, as in :func:`closer_look`, within a square of its picture of ``shape`` (height, width)."""
    left, top, length = square
    across, down = shape[1] / coverage.shape[1], shape[0] / coverage.shape[0]
    sx, sy = length / side / across, length / side / down
    matrix = np.array(((sx, 0, left / across + sx / 2 - 0.5), (0, sy, top / down + sy / 2 - 0.5)), np.float32)
    inside = cv2.warpAffine(coverage, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(inside, np.float32)


def spread_out(map_: Soft, shape: tuple[int, ...], square: tuple[int, int, int], size: tuple[int, int]) -> Soft:
    """A map (s, s) of a square of a picture of ``shape`` as one of the whole picture at ``size`` (height, width), 0
    elsewhere: the inverse of :func:`covered`.
    """
    left, top, length = square
    sx, sy = shape[1] / size[1], shape[0] / size[0]
    scale = map_.shape[0] / length
    matrix = np.array(
        ((sx * scale, 0, (sx / 2 - left) * scale - 0.5), (0, sy * scale, (sy / 2 - top) * scale - 0.5)), np.float32
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(map_, matrix, (size[1], size[0]), flags=flags), np.float32)


def _pooled(features: Tensor, coverages: Soft) -> Tensor:
    """Means (regions, channels) of features (1 or regions, channels, h, w) weighted by coverages (regions, s, s)."""
    height, width = features.shape[-2:]
    small = [cv2.resize(c, (width, height), interpolation=cv2.INTER_AREA) for c in coverages]
    weights = torch.from_numpy(np.stack(small))[:, None]
    return (features * weights).sum((2, 3)) / (weights.sum((2, 3)) + 1e-4)
