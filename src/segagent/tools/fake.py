"""A tool without a model, for tests of everything around tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from segagent.core import Box, Click, Image, Segmentation, SegmentRequest, ToolError, frozen_mask


class DiscTool:
    """Each positive click adds a disc to the mask, each negative click takes one away, a box adds its rectangle.

    Only the newest prompt is applied, to the current mask: what it does is easily worked out by hand.
    ``radius``: of the disc in pixels; None means a tenth of the image's longer side, at least 1.
    """

    name = "disc"
    accepts_box = True
    thread_safe = True

    def __init__(self, radius: float | None = None) -> None:
        self._radius = radius

    def embed(self, images: Sequence[Image]) -> list[object]:
        """The size of each image is all that is needed."""
        return [_Size(image.height, image.width) for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`. The memory is the number of prompts seen."""
        return [self._segment(request) for request in requests]

    def _segment(self, request: SegmentRequest) -> Segmentation:
        size = request.embedding
        if not isinstance(size, _Size):
            raise ToolError(f"expected an embedding made by the tool 'disc', got {type(size).__name__}")
        mask = np.array(request.mask)
        match request.prompts[-1:]:
            case (Click(x, y, positive),):
                radius = self._radius if self._radius is not None else max(max(size.height, size.width) / 10, 1.0)
                rows, columns = np.ogrid[: size.height, : size.width]
                mask[(columns - x) ** 2 + (rows - y) ** 2 <= radius**2] = positive
            case (Box(x0, y0, x1, y1),):
                mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
        return Segmentation(frozen_mask(mask), len(request.prompts))


@dataclass(frozen=True, slots=True)
class _Size:
    height: int
    width: int
