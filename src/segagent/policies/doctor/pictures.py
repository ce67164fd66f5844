"""Synthetic pictures with one thing to find, whose place is known, and masks of known quality on it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segagent.core import BoolMask, Image, Observation, empty_mask, frozen_mask, iou

SENTENCE = "the red disc"
SIZES = ((480, 640), (640, 480), (600, 600), (333, 900), (1150, 1700), (900, 517))
"""(height, width): several proportions, none a multiple of what models round to, one larger than many models keep."""


@dataclass(frozen=True, eq=False)
class KnownObject:
    """A picture with a disc at (``x``, ``y``) of ``radius``, in pixels."""

    image: Image
    x: int
    y: int
    radius: int

    @property
    def diagonal(self) -> float:
        """Of the picture, in pixels."""
        return float(np.hypot(self.image.height, self.image.width))

    def disc(self, *, shift: int = 0, scale: float = 1.0) -> BoolMask:
        """A mask of the disc, moved to the right and scaled."""
        rows, columns = np.ogrid[: self.image.height, : self.image.width]
        near = (columns - self.x - shift) ** 2 + (rows - self.y) ** 2 <= (scale * self.radius) ** 2
        return frozen_mask(near)


def make_targets(count: int, seed: int = 0) -> list[KnownObject]:
    """``count`` pictures, their sizes in turn, the discs spread over the whole picture."""
    rng = np.random.default_rng(seed)
    # One cell of a 3 x 3 grid after the other, so that no direction is left out.
    cells = rng.permutation(9)
    targets = []
    for number in range(count):
        height, width = SIZES[number % len(SIZES)]
        row, column = divmod(int(cells[number % 9]), 3)
        radius = max(6, round(0.045 * min(height, width)))
        y = round((row + rng.uniform(0.2, 0.8)) / 3 * height)
        x = round((column + rng.uniform(0.2, 0.8)) / 3 * width)
        x, y = min(max(x, radius), width - 1 - radius), min(max(y, radius), height - 1 - radius)
        targets.append(KnownObject(Image.of(_picture(rng, height, width, (x, y), radius)), x, y, radius))
    return targets


def clean_look(target: KnownObject) -> Observation:
    """The picture with an empty mask."""
    return Observation(target.image, SENTENCE, empty_mask(target.image.height, target.image.width))


def masked_looks(targets: list[KnownObject], count: int) -> list[tuple[Observation, float]]:
    """``count`` looks at masks from useless to perfect, with the IoU of each."""
    looks = []
    for number in range(count):
        target = targets[number % len(targets)]
        share = number / max(1, count - 1)
        mask = target.disc(
            shift=round(2 * target.radius * (1 - share)), scale=1.0 if number % 2 else 1.0 + (1 - share) / 2
        )
        looks.append((Observation(target.image, SENTENCE, mask), iou(mask, target.disc())))
    return looks


def _picture(
    rng: np.random.Generator, height: int, width: int, center: tuple[int, int], radius: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Grey shapes on a grey ground, one of them red."""
    ground = np.linspace(150, 200, width, dtype=np.float32)[None, :] + np.zeros((height, 1), np.float32)
    pixels = np.ascontiguousarray(np.repeat(ground[..., None].astype(np.uint8), 3, axis=2))
    for _ in range(12):
        spot = int(rng.integers(width)), int(rng.integers(height))
        shade = int(rng.integers(60, 140))
        cv2.circle(pixels, spot, int(rng.integers(radius // 2, 2 * radius)), (shade, shade, shade), -1)
    cv2.circle(pixels, center, radius + 2, (245, 245, 245), -1)
    cv2.circle(pixels, center, radius, (225, 25, 25), -1)
    return np.asarray(pixels, np.uint8)
