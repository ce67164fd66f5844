"""Faulty masks to start refinement from (the paper's extra start states, at the tool's side)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask


def faulty_probabilities(rng: np.random.Generator, target: BoolMask) -> npt.NDArray[np.float32]:
    """A previous mask that is wrong in a random way: float32 in [0, 1], the shape of ``target`` (side, side)."""
    side = target.shape[0]
    kind = rng.random()
    solid = target.astype(np.float32)
    if kind < 0.45:  # too coarse, as a mask found at a lower resolution
        factor = int(rng.integers(2, 9))
        small = cv2.resize(solid, (max(side // factor, 8),) * 2, interpolation=cv2.INTER_AREA)
        faulty = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
        shift = rng.integers(-factor, factor + 1, 2)
        faulty = np.roll(faulty, tuple(int(n) for n in shift), (0, 1))
        faulty = 1 / (1 + np.exp(-(faulty - rng.uniform(0.3, 0.7)) * 10))
    elif kind < 0.65:  # too large or too small
        size = int(rng.integers(1, max(side // 16, 2))) * 2 + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        faulty = cv2.dilate(solid, kernel) if rng.random() < 0.5 else cv2.erode(solid, kernel)
    elif kind < 0.9:  # a part missing, a part too much
        faulty = solid
        for _ in range(int(rng.integers(1, 4))):
            faulty = np.where(_blob(rng, side), np.float32(rng.random() < 0.5), faulty)
    else:  # something else altogether
        faulty = _blob(rng, side).astype(np.float32)
    if rng.random() < 0.4:
        faulty = (faulty >= 0.5).astype(np.float32)
    return np.ascontiguousarray(faulty, dtype=np.float32)


def _blob(rng: np.random.Generator, side: int) -> BoolMask:
    canvas = np.zeros((side, side), np.uint8)
    centre = tuple(int(n) for n in rng.integers(0, side, 2))
    axes = tuple(int(n) for n in rng.integers(side // 20, side // 4, 2))
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas.astype(np.bool_)
