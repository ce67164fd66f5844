"""Training views: a rectangle of a picture around one object, resized to a square, flipped and recoloured."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Pixels

Rectangle = tuple[int, int, int, int]


def random_view(
    rng: np.random.Generator, pixels: Pixels, target: BoolMask, side: int
) -> tuple[Pixels, BoolMask] | None:
    """A view uint8 (side, side, 3) and its target bool (side, side); None where too little of the object is left."""
    x0, y0, x1, y1 = _rectangle(rng, target)
    crop, part = pixels[y0:y1, x0:x1], target[y0:y1, x0:x1].astype(np.uint8)
    if part.sum() < 30:
        return None
    shrinking = (x1 - x0) * (y1 - y0) > side * side
    view = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    mask = cv2.resize(part * np.float32(1), (side, side), interpolation=cv2.INTER_LINEAR) >= 0.5
    if mask.sum() < 20:
        return None
    if rng.random() < 0.5:
        view, mask = view[:, ::-1], mask[:, ::-1]
    if rng.random() < 0.1:
        view, mask = view.transpose(1, 0, 2), mask.T
    return recolour(rng, np.ascontiguousarray(view)), np.ascontiguousarray(mask)


def _rectangle(rng: np.random.Generator, target: BoolMask) -> Rectangle:
    """The whole picture, or a rectangle that the object fills to a random degree (as zooming in would choose)."""
    height, width = target.shape
    rows, columns = np.flatnonzero(target.any(axis=1)), np.flatnonzero(target.any(axis=0))
    if rng.random() < 0.4 or rows.size == 0:
        return 0, 0, width, height
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    extent = max(bottom - top, right - left, 16) / rng.uniform(0.2, 0.9)
    stretch = float(np.exp(rng.uniform(-0.3, 0.3)))
    crop_width = int(np.clip(extent * stretch, 16, width))
    crop_height = int(np.clip(extent / stretch, 16, height))
    # Mostly the object lies within the view; the slack beyond that is where it is cut.
    slack = 0.0 if rng.random() < 0.8 else 0.3
    x0 = _place(rng, left, right, crop_width, width, slack)
    y0 = _place(rng, top, bottom, crop_height, height, slack)
    return x0, y0, min(x0 + crop_width, width), min(y0 + crop_height, height)


def _place(rng: np.random.Generator, low: int, high: int, extent: int, limit: int, slack: float) -> int:
    first, last = high - extent, low
    first, last = min(first, last) - int(slack * extent), max(first, last) + int(slack * extent)
    return int(np.clip(rng.integers(first, last + 1), 0, max(limit - extent, 0)))


def recolour(rng: np.random.Generator, view: Pixels) -> Pixels:
    """Random gain, contrast, saturation and sometimes blur or grain; uint8 in, uint8 out, same shape."""
    if rng.random() < 0.2:
        return view
    values: npt.NDArray[np.float32] = view.astype(np.float32)
    values *= rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3).astype(np.float32)
    grey = values.mean(axis=2, keepdims=True)
    values = grey + (values - grey) * np.float32(rng.uniform(0.5, 1.4))
    middle = np.float32(grey.mean())
    values = middle + (values - middle) * np.float32(rng.uniform(0.7, 1.3))
    kind = rng.random()
    if kind < 0.1:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), float(rng.uniform(0.5, 1.5))), np.float32)
    elif kind < 0.2:
        values += rng.normal(0, rng.uniform(2, 10), values.shape).astype(np.float32)
    result: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return result
