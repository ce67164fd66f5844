"""A tool of one's own: a click takes the area around it whose colour changes gently."""

from collections.abc import Sequence

import cv2
import numpy as np

from segagent.core import Click, Image, Segmentation, SegmentRequest, ToolError, frozen_mask


class FloodTool:
    """``tolerance``: how far neighbouring pixels may differ in any colour, 0 to 255."""

    accepts_box = False

    def __init__(self, tolerance: str = "12") -> None:
        self.name = f"python:my_tool:FloodTool:tolerance={tolerance}"  # Records go by it: settings belong in there.
        self._tolerance = (float(tolerance),) * 3

    def embed(self, images: Sequence[Image]) -> list[object]:
        return [image.pixels for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        return [self._segment(request) for request in requests]

    def _segment(self, request: SegmentRequest) -> Segmentation:
        click, pixels = request.prompts[-1], request.embedding
        if not isinstance(click, Click) or not isinstance(pixels, np.ndarray):
            raise ToolError("FloodTool takes clicks only")
        height, width = request.mask.shape
        reached = np.zeros((height + 2, width + 2), np.uint8)  # OpenCV wants a border of one pixel.
        here = (click.x, click.y)
        cv2.floodFill(pixels.copy(), reached, here, 0, self._tolerance, self._tolerance, 4 | cv2.FLOODFILL_MASK_ONLY)
        mask = np.where(reached[1:-1, 1:-1] > 0, click.positive, request.mask)
        return Segmentation(frozen_mask(mask), None)  # None: it needs no memory of its last answer.
