"""Pictures as patches, to the same bits as the Qwen-VL families' own picture processors and several times faster.

Those turn each picture into float64, scale, shift, and copy it several times over. All that happens to a value happens
to it alone, so there are 256 results for each colour: they are read off what the processor itself makes of a chart.
Charts also tell whether patches are ordered, and pictures resized, as is done here; where not, the processor is left to
itself, or has what is to be resized.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as PillowImage

from segagent.core import Pixels
from segagent.policies.chat import Multiples
from segagent.policies.chat.space import Size

_KNOWN = ("Qwen2VLImageProcessor", "Qwen2VLImageProcessorPil")
"""Also those of Qwen2.5-VL, Qwen3-VL and Qwen3.5."""

_Floats = npt.NDArray[np.float32]

_MADE: WeakKeyDictionary[Any, tuple[str, Any]] = WeakKeyDictionary()
"""By picture processor: its settings, and the quick one for them, if any, which does not refer to it."""


def quick_processor(processor: Any) -> Any:
    """``processor`` with its picture half replaced by a quick one, or ``processor`` itself where there is none.

    It is called as ever, its pictures may be arrays, uint8 RGB (height, width, 3), and its tensors are the same.
    """
    pictures = getattr(processor, "image_processor", None)
    if pictures is None or type(pictures).__name__ not in _KNOWN:
        return processor
    settings = repr(pictures.to_dict())
    found = _MADE.get(pictures)
    if found is None or found[0] != settings:
        patching = _Patching.of(pictures)
        found = settings, None if patching is None else _quick_pictures(pictures, patching)
        _MADE[pictures] = found
    if found[1] is None:
        return processor
    quick = copy(processor)
    quick.image_processor = found[1]
    return quick


@dataclass(frozen=True, eq=False)
class _Patching:
    """How a processor makes patches. ``table``: (1, 256, 3) float32, what becomes of each value of each colour;
    ``resizes``: whether it resizes as is done here.
    """

    table: _Floats
    sizes: Multiples
    patch: int
    merge: int
    times: int
    resizes: bool = True

    @classmethod
    def of(cls, pictures: Any) -> _Patching | None:
        """As ``pictures`` does it; None where it does it in another way."""
        patch, merge, times = pictures.patch_size, pictures.merge_size, pictures.temporal_patch_size
        size = dict(pictures.size)
        least, most = size.get("shortest_edge"), size.get("longest_edge")
        if not (pictures.do_resize and least and most):
            return None
        sizes = Multiples(patch * merge, least, most)
        random = np.random.default_rng(0)
        even = sizes.shown((4 * sizes.factor, 6 * sizes.factor))
        chart, uneven = (
            random.integers(0, 256, (height, width, 3), np.uint8)
            for height, width in (even, (even[0] + 9, even[1] - 5))
        )
        wanted = _their_own(pictures, chart)
        numbers = cls(
            np.broadcast_to(np.arange(256, dtype=np.float32)[:, None], (1, 256, 3)), sizes, patch, merge, times
        )
        table = np.full((256, 3), np.nan, np.float32)
        values = numbers(chart).reshape(len(wanted), 3, -1)
        for color in range(3):
            table[values[:, color].astype(np.uint8), color] = wanted.reshape(values.shape)[:, color]
        made = cls(table[None], sizes, patch, merge, times)
        if not np.array_equal(made(chart), wanted):
            return None
        return replace(made, resizes=np.array_equal(made(uneven), _their_own(pictures, uneven)))

    def shown(self, picture: Pixels) -> Size:
        return self.sizes.shown((picture.shape[0], picture.shape[1]))

    def __call__(self, picture: Pixels, out: _Floats | None = None) -> _Floats:
        """The patches of a picture, (patches, values of one), written into ``out`` where it is given."""
        shown = self.shown(picture)
        if picture.shape[:2] != shown:
            size = shown[1], shown[0]
            picture = np.asarray(PillowImage.fromarray(picture).resize(size, PillowImage.Resampling.BICUBIC))
        rows, columns = shown[0] // self.sizes.factor, shown[1] // self.sizes.factor
        values = torch.from_numpy(cv2.LUT(picture, self.table))
        values = values.view(rows, self.merge, self.patch, columns, self.merge, self.patch, 3)
        if out is None:
            out = np.empty((rows * columns * self.merge**2, 3 * self.times * self.patch**2), np.float32)
        patches = torch.from_numpy(out).view(
            rows, columns, self.merge, self.merge, 3, self.times, self.patch, self.patch
        )
        patches.copy_(values.permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5).expand(patches.shape))
        return out


def _quick_pictures(pictures: Any, patching: _Patching) -> Any:
    """A copy of the picture processor ``pictures`` with its work done by ``patching``."""
    from transformers import BatchFeature

    own = type(pictures).preprocess

    def preprocess(self: Any, images: Sequence[Any], **settings: Any) -> Any:
        shown = [np.asarray(one) for one in chain.from_iterable(images)]
        if not patching.resizes and any(patching.shown(one) != one.shape[:2] for one in shown):
            return own(self, [PillowImage.fromarray(one) for one in shown], **settings)
        grids = [[1, height // patching.patch, width // patching.patch] for height, width in map(patching.shown, shown)]
        ends = np.cumsum([0, *(rows * columns for _, rows, columns in grids)])
        values = np.empty((ends[-1], 3 * patching.times * patching.patch**2), np.float32)
        for picture, first, end in zip(shown, ends[:-1], ends[1:], strict=True):
            patching(picture, values[first:end])
        made = {"pixel_values": torch.from_numpy(values), "image_grid_thw": torch.tensor(grids, dtype=torch.long)}
        return BatchFeature(made)

    quick = copy(pictures)
    quick.__class__ = type(type(pictures).__name__, (type(pictures),), {"preprocess": preprocess})
    return quick


def _their_own(pictures: Any, picture: Pixels) -> _Floats:
    return np.asarray(pictures([PillowImage.fromarray(picture)], return_tensors="np")["pixel_values"], np.float32)
