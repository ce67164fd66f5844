"""OpenCV's grabCut behind the tool interface: no weights, the baseline that the embedded tool has to beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import (
    BoolMask,
    Box,
    Click,
    Image,
    Pixels,
    Prompt,
    Segmentation,
    SegmentRequest,
    ToolError,
    frozen_mask,
)

_SEED = 12345
_ITERATIONS = 2


@dataclass(frozen=True, eq=False)
class _Small:
    """The picture at working size, uint8 BGR (height, width, 3), and its full size."""

    pixels: Pixels
    height: int
    width: int


class GrabCutTool:
    """Iterated graph cuts with colour mixtures (Rother et al. 2004).

    The prior of the cut is a disc around each click, as large as the clicks of the other sign leave room for, on top
    of a mask or box that the episode started from. Clicks are hard seeds, and a box confines the object.
    ``side``: the longer side that the picture is shrunk to, for the cut's cost grows faster than the pixels.
    """

    name = "grabcut"
    accepts_box = True

    def __init__(self, side: int = 192) -> None:
        self._side = side

    def embed(self, images: Sequence[Image]) -> list[object]:
        """Each picture at working size."""
        return [self._shrunk(image) for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`. The memory is the mask that the first prompt found."""
        return [self._segment(request) for request in requests]

    def _shrunk(self, image: Image) -> _Small:
        factor = min(self._side / max(image.height, image.width), 1.0)
        size = (max(round(image.width * factor), 1), max(round(image.height * factor), 1))
        small = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA)
        pixels: Pixels = np.ascontiguousarray(small[:, :, ::-1])
        pixels.setflags(write=False)
        return _Small(pixels, image.height, image.width)

    def _segment(self, request: SegmentRequest) -> Segmentation:
        small = request.embedding
        if not isinstance(small, _Small):
            raise ToolError(f"expected an embedding made by the tool 'grabcut', got {type(small).__name__}")
        if request.mask.shape != (small.height, small.width):
            raise ToolError(f"mask {request.mask.shape} differs in size from the image {small.height, small.width}")
        if not request.prompts:
            return Segmentation(frozen_mask(request.mask), request.memory)
        # Each cut starts anew from clicks and first mask: from the last cut's mask its mistakes would only settle.
        start = request.memory if isinstance(request.memory, np.ndarray) else frozen_mask(request.mask)
        labels = _labels(request.prompts, start, small)
        mask = _cut(small.pixels, labels)
        full = cv2.resize(mask.astype(np.float32), (small.width, small.height), interpolation=cv2.INTER_LINEAR)
        return Segmentation(frozen_mask(full >= 0.5), start)


def _labels(prompts: Sequence[Prompt], mask: BoolMask, small: _Small) -> npt.NDArray[np.uint8]:
    """GrabCut's four labels (height, width) at working size: prior from the mask, hard seeds at the clicks."""
    height, width = small.pixels.shape[:2]
    scale_x, scale_y = width / small.width, height / small.height
    boxes = [p for p in prompts if isinstance(p, Box)]
    clicks = [p for p in prompts if isinstance(p, Click)]
    places = [(int(c.x * scale_x), int(c.y * scale_y), c.positive) for c in clicks]
    prior = cv2.resize(mask.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) >= 0.5
    labels = np.where(prior, np.uint8(cv2.GC_PR_FGD), np.uint8(cv2.GC_PR_BGD))
    for box in boxes:
        labels[_window(box, scale_x, scale_y)] = cv2.GC_PR_FGD
    reach = 0.25 * min(height, width)
    for x, y, positive in places:
        # A disc as large as the clicks of the other sign leave room for; one click alone gets a large one.
        others = [math.hypot(x - u, y - v) for u, v, sign in places if sign != positive]
        if positive and (boxes or prior.any()):
            others.append(reach / 2)
        radius = min([reach * (1.0 if positive else 0.5), *(0.6 * other for other in others)])
        disc = np.zeros((height, width), np.uint8)
        cv2.circle(disc, (x, y), max(round(radius), 1), 1, -1)
        labels[disc.astype(np.bool_)] = cv2.GC_PR_FGD if positive else cv2.GC_PR_BGD
    for box in boxes:
        outside = np.ones((height, width), np.bool_)
        outside[_window(box, scale_x, scale_y)] = False
        labels[outside] = cv2.GC_BGD
    seed = max(round(0.02 * min(height, width)), 0)
    for x, y, positive in places:
        cv2.circle(labels, (x, y), seed, int(cv2.GC_FGD if positive else cv2.GC_BGD), -1)
    return labels


def _window(box: Box, scale_x: float, scale_y: float) -> tuple[slice, slice]:
    rows = slice(int(box.y0 * scale_y), math.ceil(box.y1 * scale_y))
    return rows, slice(int(box.x0 * scale_x), math.ceil(box.x1 * scale_x))


def _cut(pixels: Pixels, labels: npt.NDArray[np.uint8]) -> BoolMask:
    """Foreground (height, width) after the cut; the labels' own where there is nothing to cut between."""
    inside = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    # Five colour components need five different samples on each side, else OpenCV's k-means refuses.
    if min(int(inside.sum()), int((~inside).sum())) < 5 or min(labels.shape) < 2:
        return np.asarray(inside, np.bool_)
    result = labels.copy()
    cv2.setRNGSeed(_SEED)
    # The rectangle is not read in this mode.
    cv2.grabCut(pixels, result, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    mask: BoolMask = (result == cv2.GC_FGD) | (result == cv2.GC_PR_FGD)
    return mask
