"""How well a mask outlines the thing it lies on, without any words: that is outlined anew and compared.

From the mask only a blurred hint of where the thing is reaches the new outline, which is drawn from the encoder's
features of a closer look; so where the mask is wrong the two differ. A second part compares them.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.core import BoolMask, Pixels, frozen_mask
from segagent.policies.embedded.detector import ConvNorm, upsampled
from segagent.policies.embedded.objects import Soft
from segagent.policies.embedded.regions import Scenery, closer_look, looked_at, spread_out
from segagent.policies.embedded.state_head import NUM_IOU
from segagent.policies.overlay import GREEN, Color, draw_overlay, seen_mask
from segagent.vision.encoder import CHANNELS, Pyramid
from segagent.vision.sight import Sight

SIDE = 192
"""Side of the closer look, in pixels."""
MARGIN = 1.6
"""The look's side over the longer side of the mask's box."""
FINE = SIDE // 2
"""Side of the mask as it is compared."""
CELLS = SIDE // 4
"""Side of the new outline."""
NUM_COMPARED = 12
_NARROW, _MIDDLE, _WIDE = 24, 48, 64


class Quality(NamedTuple):
    """``outline`` (n, CELLS, CELLS): logits of the new outline. ``iou`` (n, NUM_IOU): logits of the mask's IoU, in
    percent, with the thing that it fits best. ``compared`` (n, NUM_COMPARED): how mask and outline differ.
    """

    outline: Tensor
    iou: Tensor
    compared: Tensor


class QualityNet(nn.Module):
    """See the module. One row per look; ``mask`` (n, FINE, FINE) in 0..1; of the look's features strides 4 to 32."""

    def __init__(self) -> None:
        super().__init__()
        _, c4, c8, c16, c32 = CHANNELS
        self.enter32, self.enter16 = nn.Conv2d(c32, _WIDE, 1), nn.Conv2d(c16 + 1, _WIDE, 1)
        self.merge16 = nn.Sequential(ConvNorm(_WIDE, _WIDE), ConvNorm(_WIDE, _WIDE))
        self.narrow16, self.enter8, self.merge8 = (
            nn.Conv2d(_WIDE, _MIDDLE, 1), nn.Conv2d(c8, _MIDDLE, 1), ConvNorm(_MIDDLE, _MIDDLE),
        )  # fmt: skip
        self.narrow8, self.enter4, self.merge4 = (
            nn.Conv2d(_MIDDLE, _NARROW, 1), nn.Conv2d(c4, _NARROW, 1), ConvNorm(_NARROW, _NARROW),
        )  # fmt: skip
        self.hide = nn.Dropout2d(0.15)
        self.draw = nn.Conv2d(_NARROW, 1, 3, padding=1)
        self.compare = nn.Sequential(ConvNorm(_NARROW + 4 + 2, 32), ConvNorm(32, 48, stride=2), ConvNorm(48, 48))
        self.judge = nn.Sequential(
            nn.Linear(3 * 48 + _WIDE + NUM_COMPARED, 96), nn.GELU(), nn.Dropout(0.2), nn.Linear(96, NUM_IOU)
        )

    def forward(self, seen: Pyramid, mask: Tensor) -> Quality:
        """See the class."""
        hint = functional.avg_pool2d(mask[:, None], FINE // seen.stride16.shape[-1])
        # Few photographs are soon known by heart: in training some of their features are hidden.
        far, near = self.hide(seen.stride32), self.hide(seen.stride16)
        x16 = self.enter16(torch.cat((near, hint), 1)) + upsampled(self.enter32(far))
        x16 = self.merge16(functional.relu(x16))
        x8 = self.merge8(functional.relu(self.enter8(seen.stride8) + upsampled(self.narrow16(x16))))
        x4 = self.merge4(functional.relu(self.enter4(seen.stride4) + upsampled(self.narrow8(x8))))
        outline = self.draw(x4).float()[:, 0]
        drawn, cells = outline.sigmoid(), functional.avg_pool2d(mask[:, None], 2)[:, 0]
        parts = functional.pixel_unshuffle(mask[:, None], 2)
        x = self.compare(torch.cat((x4, parts, drawn[:, None], (drawn - cells)[:, None]), 1)).float()
        inside = functional.avg_pool2d(cells[:, None], 2)
        odd = functional.avg_pool2d((drawn - cells).abs()[:, None], 2)
        pools = [_weighted(x, inside), _weighted(x, odd), 0.25 * x.amax((2, 3)), _weighted(x16.float(), hint)]
        compared = _compared(drawn, cells)
        return Quality(outline, self.judge(torch.cat((*pools, compared), 1)), compared)


def _weighted(x: Tensor, weights: Tensor) -> Tensor:
    """Means (n, channels) of ``x`` weighted by maps (n, 1, h, w)."""
    return (x * weights).sum((2, 3)) / (weights.sum((2, 3)) + 1e-3)


def _compared(drawn: Tensor, cells: Tensor) -> Tensor:
    """(n, NUM_COMPARED) of a new outline and a mask, both (n, CELLS, CELLS) in 0..1."""
    both, wanted, covered = (drawn * cells).sum((1, 2)), drawn.sum((1, 2)), cells.sum((1, 2))
    union = (wanted + covered - both).clamp(min=1)
    solid_drawn, solid = drawn > 0.5, cells > 0.5
    solid_both, solid_union = (solid_drawn & solid).sum((1, 2)), (solid_drawn | solid).sum((1, 2)).clamp(min=1)
    doubt = drawn * (1 - drawn)
    rim = functional.max_pool2d(cells, 3, 1, 1) + functional.max_pool2d(-cells, 3, 1, 1)
    length = rim.sum((1, 2)).clamp(min=1)
    likely = drawn.clamp(1e-4, 1 - 1e-4)
    surprise = -(cells * likely.log() + (1 - cells) * (1 - likely).log())
    return torch.stack(
        (
            both / union, solid_both / solid_union, both / covered.clamp(min=1), both / wanted.clamp(min=1),
            torch.log(wanted + 1) / 4, torch.log(covered + 1) / 4, 4 * doubt.sum((1, 2)) / union,
            4 * (doubt * rim).sum((1, 2)) / length, (surprise * rim).sum((1, 2)) / length,
            surprise.sum((1, 2)) / union, length / covered.clamp(min=1).sqrt() / 8, (both / union) ** 4,
        ),
        1,
    )  # fmt: skip


def coverage_at(mask: BoolMask, shape: tuple[int, ...]) -> Soft:
    """A mask as coverage of a smaller (or equal) picture's pixels."""
    size = (min(mask.shape[1], shape[1]), min(mask.shape[0], shape[0]))
    return np.asarray(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)


def read_off(look: Pixels, inside: Soft, color: Color = GREEN) -> Soft:
    """``inside`` (SIDE, SIDE) laid over the look and seen again, (FINE, FINE); what the picture hides stays hidden."""
    seen = seen_mask(draw_overlay(look, inside, color), look, color)
    return np.asarray(cv2.resize(seen, (FINE, FINE), interpolation=cv2.INTER_AREA), np.float32)


@torch.no_grad()
def judge_quality(network: QualityNet, sight: Sight, picture: Scenery, mask: BoolMask, color: Color = GREEN) -> Quality:
    """The quality of one mask (height, width) of any size that is not empty."""
    look, inside = closer_look(picture.pixels, coverage_at(mask, picture.pixels.shape[:2]), SIDE, MARGIN)
    seen = torch.from_numpy(read_off(look, inside, color))[None]
    answer: Quality = network(sight.views(look[None]), seen)
    return answer


def new_outline(quality: Quality, picture: Scenery, mask: BoolMask) -> BoolMask:
    """What the thing under ``mask`` (height, width) looks like by its ``quality``, bool of the same size."""
    shape = picture.pixels.shape[:2]
    square = looked_at(shape, coverage_at(mask, shape), MARGIN)
    drawn = quality.outline[0].sigmoid().numpy()
    return frozen_mask(spread_out(drawn, shape, square, (mask.shape[0], mask.shape[1])) > 0.5)
