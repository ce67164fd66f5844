"""What the tool makes of a given mask by itself: an opinion on the outline where the policy has none."""

from __future__ import annotations

import cv2
import numpy as np

from segagent.annotation.batch.records import SeenOutline
from segagent.core import BoolMask, Box, Click, Image, Prompt, SegmentationTool, SegmentRequest, empty_mask, iou


def tool_outline(tool: SegmentationTool, image: Image, mask: BoolMask) -> SeenOutline | None:
    """``mask``, bool (height, width) of ``image``, against what the tool makes of its box (:func:`redrawn`): an
    independent segmentation, so they agree where the mask follows what is to be seen. None of an empty mask.
    """
    if not mask.any():
        return None
    drawn = redrawn(tool, image, mask)
    area = np.count_nonzero(mask)
    missing, spill = (np.count_nonzero(part) / area for part in (drawn & ~mask, mask & ~drawn))
    return SeenOutline(iou(drawn, mask), missing, spill, by="tool")


def redrawn(tool: SegmentationTool, image: Image, mask: BoolMask) -> BoolMask:
    """What ``tool`` outlines, bool (height, width), when it is told no more than the box of ``mask``, which is not
    empty (where it takes no box, its deepest place). Errors are the tool's.
    """
    prompt = _box(mask) if tool.accepts_box else _deepest(mask)
    request = SegmentRequest(tool.embed([image])[0], empty_mask(*mask.shape), None, (prompt,))
    return tool.segment([request])[0].mask


def _box(mask: BoolMask) -> Prompt:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return Box(int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def _deepest(mask: BoolMask) -> Prompt:
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return Click(int(x), int(y), True)
