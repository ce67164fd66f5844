"""What each found thing looks like: its crop through a small network, and where it lies as a few numbers."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.core import Pixels

CROP = 48
"""Side of the square crop that an object is looked at in, in pixels."""
CROP_CHANNELS = 7
NUM_GEOMETRY = 10
EMBEDDING = 128
_HIDDEN_CROPS = 0.4

Soft = npt.NDArray[np.float32]


def object_crop(pixels: Pixels, coverage: Soft) -> npt.NDArray[np.float32]:
    """The surroundings of one object, scaled to a fixed size.

    Args:
        pixels: the picture, uint8 (s, s, 3).
        coverage: how much each pixel belongs to the object, float32 (s, s) in 0..1.

    Returns:
        float32 (CROP_CHANNELS, CROP, CROP): colours within the object, colours, coverage; about -1..1.
    """
    x0, y0, x1, y1 = soft_box(coverage)
    side = max(x1 - x0, y1 - y0, 6) * 1.12
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    scale = side / CROP
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    # Where the crop shrinks, look at a shrunken picture so that fine patterns blur instead of aliasing.
    while scale > 1.5:
        left, top, scale = left / 2, top / 2, scale / 2
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = np.asarray(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA), np.uint8)
        coverage = np.asarray(cv2.resize(coverage, half, interpolation=cv2.INTER_AREA), np.float32)
    matrix = np.array(((scale, 0, left + scale / 2 - 0.5), (0, scale, top + scale / 2 - 0.5)), np.float32)
    colours = cv2.warpAffine(pixels, matrix, (CROP, CROP), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(coverage, matrix, (CROP, CROP), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    scaled = colours.astype(np.float32).transpose(2, 0, 1) / np.float32(127.5) - np.float32(1)
    return np.concatenate((scaled * inside, scaled, inside[None] * 2 - 1)).astype(np.float32, copy=False)


def soft_box(coverage: Soft) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1), the last two exclusive, of the pixels above one half; of the best pixel where none is."""
    inside = coverage > 0.5
    if not inside.any():
        inside = coverage >= coverage.max()
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def geometry(coverage: Soft) -> npt.NDArray[np.float32]:
    """Where an object lies and how large it is: float32 (NUM_GEOMETRY,), fractions of the square's side or
    area.

    Centre of mass x, y; box x0, y0, x1, y1; area; box area; logarithms of the area and of the box's longer
    side.
    """
    height, width = coverage.shape
    x0, y0, x1, y1 = soft_box(coverage)
    window = coverage[y0:y1, x0:x1]
    weight = window * (window > 0.5)
    total = float(weight.sum()) + 1e-6
    cx = float(weight.sum(0) @ np.arange(x0, x1, dtype=np.float32)) / total + 0.5
    cy = float(weight.sum(1) @ np.arange(y0, y1, dtype=np.float32)) / total + 0.5
    if total < 0.5:
        cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    area = max(total, 1.0) / (height * width)
    box_area = (x1 - x0) * (y1 - y0) / (height * width)
    longest = max((x1 - x0) / width, (y1 - y0) / height)
    return np.array(
        (
            cx / width, cy / height, x0 / width, y0 / height, x1 / width, y1 / height, area * 8, box_area * 8,
            np.log(area) / 4 + 1, np.log(longest) + 1,
        ),
        np.float32,
    )  # fmt: skip


class Appearance(NamedTuple):
    """What is seen of objects: ``embedding`` (objects, EMBEDDING) and logits of the four kinds of attribute."""

    embedding: Tensor
    attributes: tuple[Tensor, Tensor, Tensor, Tensor]

    def token(self) -> Tensor:
        """Embedding and attribute probabilities side by side, (objects, EMBEDDING + all classes)."""
        return torch.cat([self.embedding, *(a.softmax(-1) for a in self.attributes)], dim=-1)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _seen_part(inputs: int) -> nn.Sequential:
    last = nn.Linear(256, EMBEDDING)
    nn.init.zeros_(last.weight)  # what is known without it stays as it is at first
    return nn.Sequential(
        nn.BatchNorm1d(inputs), nn.Dropout(0.3), nn.Linear(inputs, 256), nn.ReLU(inplace=True), nn.Dropout(0.3), last
    )


class ObjectEncoder(nn.Module):
    """Crops (objects, CROP_CHANNELS, CROP, CROP), geometry (objects, NUM_GEOMETRY) and, where the network has a part
    for them, ``num_seen`` features of the encoder (objects, num_seen) -> :class:`Appearance`.
    """

    def __init__(self, num_classes: tuple[int, int, int, int], num_seen: int = 0) -> None:
        super().__init__()
        pool = nn.MaxPool2d(2)
        self.trunk = nn.Sequential(
            _block(CROP_CHANNELS, 32), pool, _block(32, 64), pool, _block(64, 128), pool, _block(128, 128),
        )  # fmt: skip
        self.reduce = _block(128, 64)
        self.embed = nn.Sequential(
            nn.Linear(128 + 64 * 9 + NUM_GEOMETRY, 256), nn.ReLU(inplace=True), nn.Dropout(0.1),
            nn.Linear(256, EMBEDDING),
        )  # fmt: skip
        self.seen = _seen_part(num_seen) if num_seen else None
        self.heads = nn.ModuleList(nn.Linear(EMBEDDING, n) for n in num_classes)

    def forward(self, crops: Tensor, geometries: Tensor, seen: Tensor | None = None) -> Appearance:
        """See the class."""
        x = self.trunk(crops)
        whole = x.mean((2, 3))
        parts = functional.avg_pool2d(self.reduce(x), 2).flatten(1)
        embedding = self.embed(torch.cat((whole, parts, geometries.to(x.dtype)), dim=1)).float()
        if self.seen is not None:
            if self.training:
                # Crops of few photographs are soon known by heart: often they are hidden, so that the rest must do.
                embedding = embedding * (torch.rand(len(embedding), 1) >= _HIDDEN_CROPS)
            embedding = embedding + self.seen(seen).float()
        first, second, third, fourth = (head(embedding).float() for head in self.heads)
        return Appearance(embedding, (first, second, third, fourth))
