"""Where masks come from: COCO segmentations, mask files, label images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import BoolMask, empty_mask, frozen_mask
from segagent.datasets.coco_masks import decode_segmentation
from segagent.imaging import load_labels, load_mask, load_trimap


@dataclass(frozen=True, slots=True)
class NoMask:
    """The mask of a sample that has none that can be used, and why."""

    reason: str

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """Raises ``ValueError`` with the reason."""
        raise ValueError(self.reason)


@dataclass(frozen=True, slots=True)
class CocoMasks:
    """The union of COCO segmentations; none of them: no object, an empty mask.

    RefCLEF's way to write one, a list of run-length encodings, is read too.
    """

    segmentations: tuple[Any, ...]

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        if not self.segmentations:
            return empty_mask(height, width), None
        united = np.zeros((height, width), np.bool_)
        for segmentation in self.segmentations:
            several = (
                segmentation
                if isinstance(segmentation, list) and segmentation and isinstance(segmentation[0], dict)
                else [segmentation]
            )
            for one in several:
                united |= decode_segmentation(one, height, width)
        if not united.any():
            raise ValueError("the segmentation covers no pixel; remove the annotation")
        return frozen_mask(united), None


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask picture with an object in it; with ``ignore`` the grey value 128 marks undecided pixels (GrabCut)."""

    path: Path
    ignore: bool = False

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        if self.ignore:
            mask, ignored = load_trimap(self.path, height, width)
        else:
            mask, ignored = load_mask(self.path, height, width), None
        if not mask.any():
            raise ValueError(f"{self.path} has no object pixel (brighter than 127)")
        return mask, ignored


@dataclass(frozen=True, slots=True)
class LabelValue:
    """The pixels of a label image (palette or 8-bit grey) that have ``value``; None: any but 0 and the void one.

    Pixels of ``void`` are to be ignored.
    """

    path: Path
    value: int | None
    void: int | None = 255
    may_be_empty: bool = False

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        labels = load_labels(self.path, height, width)
        ignored = labels == self.void if self.void is not None else np.zeros(labels.shape, np.bool_)
        mask = ((labels != 0) & ~ignored) if self.value is None else labels == self.value
        if not mask.any() and not self.may_be_empty:
            raise ValueError(f"no pixel of {self.path} has the label {self.value}")
        return frozen_mask(mask), frozen_mask(ignored) if ignored.any() else None
