"""Boundary IoU: the IoU of what lies near the outlines.

Definition of B. Cheng, R. Girshick, P. Dollar, A. C. Berg and A. Kirillov, "Boundary IoU: Improving Object-Centric
Image Segmentation Evaluation", CVPR 2021 (arXiv 2103.16562), equation 2, with the paper's default distance of 2 % of
the image's diagonal.
"""

from __future__ import annotations

import cv2
import numpy as np

from segagent.core import BoolMask, intersection_and_union

DILATION_RATIO = 0.02


def boundary_distance(height: int, width: int, ratio: float = DILATION_RATIO) -> int:
    """The width in pixels of the band along an outline: ``ratio`` of the diagonal, rounded, at least 1."""
    return max(1, round(ratio * float(np.hypot(height, width))))


def boundary_region(mask: BoolMask, distance: int) -> BoolMask:
    """The pixels of ``mask`` (height, width) at most ``distance`` from its outline, by the chessboard distance.

    The image's edge counts as outline: what lies outside the image is background.
    """
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    band = np.zeros(mask.shape, np.bool_)
    if not width:
        return band
    inner = np.s_[top : top + height, left : left + width]
    padded = np.pad(mask[inner].view(np.uint8), 1)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
    band[inner] = mask[inner] & (np.asarray(eroded) == 0)
    return band


def boundary_overlap(
    prediction: BoolMask, target: BoolMask, ignore: BoolMask | None = None, ratio: float = DILATION_RATIO
) -> tuple[int, int]:
    """Pixel counts of intersection and union of both masks' boundary regions.

    On pixels of ``ignore`` the prediction is taken to be right, and they are left out of both regions after these were
    taken: so the ignored area makes no outlines of its own, and masks that agree elsewhere agree fully. Two empty masks
    give (0, 0), which counts as agreement.
    """
    if ignore is not None:
        prediction = np.where(ignore, target, prediction)
    distance = boundary_distance(target.shape[0], target.shape[1], ratio)
    return intersection_and_union(boundary_region(prediction, distance), boundary_region(target, distance), ignore)


def boundary_iou(
    prediction: BoolMask, target: BoolMask, ignore: BoolMask | None = None, ratio: float = DILATION_RATIO
) -> float:
    """Boundary IoU in [0, 1]; 1 where neither mask has a boundary."""
    intersection, union = boundary_overlap(prediction, target, ignore, ratio)
    return intersection / union if union else 1.0
