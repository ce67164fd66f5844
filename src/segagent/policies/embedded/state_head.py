"""Given one hypothesis of which object is meant: how good the current mask is, and where to click next.

For each hypothesis the network first corrects the object's outline in the light of the current mask and the
picture. What the corrected outline and the mask disagree in, and how deep each disagreement is, then leads to
the sign, the place and the IoU. Which hypothesis is how likely is the sentence's matter (``grounding``), and
mixing them is ``reading``'s.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.policies.embedded.detector import GRID

BINS = 128
"""Places per axis that a click can be written at."""
NUM_IOU = 101
MAX_HYPOTHESES = 3
STATE_CHANNELS = 25
NUM_SCALARS = 14
NUM_SUMMARY = 6
_CHANNELS = 32

Grid = npt.NDArray[np.float32]


class Refined(NamedTuple):
    """``target`` (n, GRID, GRID): logits of the corrected outline. ``pointer`` (n, 2, GRID, GRID): corrections
    to the place, positive click first. ``pooled`` (n, 64): a summary.
    """

    target: Tensor
    pointer: Tensor
    pooled: Tensor


class JudgedState(NamedTuple):
    """``sign`` (n,): logit of a positive click. ``place`` (n, 2, BINS, BINS): logits of its place, rows are y.
    ``iou`` (n, NUM_IOU): logits of the IoU in percent.
    """

    sign: Tensor
    place: Tensor
    iou: Tensor


def _conv(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class StateHead(nn.Module):
    """See the module. One row per (observation, hypothesis).

    The place of a click is a learnt correction plus a weighting of how deep each error is, which begins as the
    simulated annotator's own rule: the deepest place. So with its ``depth_prior`` a head clicks nearly where the
    annotator would before it has learnt anything; without it, it has to learn where to click.
    """

    def __init__(self, *, depth_prior: bool = True) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _conv(STATE_CHANNELS, _CHANNELS, 1), _conv(_CHANNELS, _CHANNELS, 1), _conv(_CHANNELS, _CHANNELS, 3),
            _conv(_CHANNELS, _CHANNELS, 1),
        )  # fmt: skip
        self.maps = nn.Conv2d(_CHANNELS, 3, 1)
        self.depth_weights = nn.Parameter(torch.tensor([[1.0, 0.0, 4.0], [1.0, 0.0, 4.0]]) * depth_prior)
        self.judge = nn.Sequential(nn.Linear(2 * _CHANNELS + NUM_SCALARS, 128), nn.GELU())
        self.sign = nn.Linear(128, 1)
        self.iou = nn.Linear(128, NUM_IOU)

    def refine(self, inputs: Tensor, outline: Tensor) -> Refined:
        """``inputs`` (n, STATE_CHANNELS, GRID, GRID) of :func:`state_channels`; ``outline`` logits (n, GRID,
        GRID).
        """
        x = self.layers(inputs)
        maps = self.maps(x).float()
        x = x.float()
        pooled = torch.cat((x.mean((2, 3)), x.amax((2, 3)) * 0.25), 1)
        return Refined(outline + maps[:, 0], maps[:, 1:], pooled)

    def decide(self, refined: Refined, mask: Tensor, depths: Tensor) -> JudgedState:
        """``mask`` (n, GRID, GRID) in 0..1; ``depths`` (n, 2, BINS, BINS) of :func:`error_depths`."""
        scalars = _scalars(refined.target.sigmoid(), mask, depths)
        x = self.judge(torch.cat((refined.pooled, scalars), 1))
        deepest = depths.amax((2, 3), keepdim=True).clamp(min=1e-3)
        shape = torch.stack((torch.log(depths + 0.25), depths / deepest, torch.exp(2 * (depths - deepest))), -1)
        correction = functional.interpolate(refined.pointer, size=(BINS, BINS), mode="bilinear", align_corners=False)
        place = correction + (shape * self.depth_weights[None, :, None, None, :]).sum(-1)
        return JudgedState(self.sign(x)[:, 0], place, self.iou(x))


def _scalars(target: Tensor, mask: Tensor, depths: Tensor) -> Tensor:
    """(n, NUM_SCALARS) of a corrected outline and a mask, both (n, GRID, GRID) in 0..1."""
    both = (target * mask).sum((1, 2))
    wanted, covered = target.sum((1, 2)), mask.sum((1, 2))
    union = (wanted + covered - both).clamp(min=0.5)
    hard_both = ((target > 0.5) & (mask > 0.5)).sum((1, 2))
    hard_union = ((target > 0.5) | (mask > 0.5)).sum((1, 2)).clamp(min=1)
    doubt = (target * (1 - target)).sum((1, 2)) / wanted.clamp(min=1)
    deepest = torch.log(depths.amax((2, 3)) + 0.25)
    return torch.stack(
        (
            both / union, hard_both / hard_union, both / covered.clamp(min=0.5), both / wanted.clamp(min=0.5),
            torch.log(wanted + 1) / 4, torch.log(covered + 1) / 4, doubt, (covered < 0.5).float(),
            deepest[:, 0], deepest[:, 1], deepest[:, 0] - deepest[:, 1], (both / union) ** 2,
            torch.log(wanted - both + 1) / 4, torch.log(covered - both + 1) / 4,
        ),
        1,
    )  # fmt: skip


def error_depths(target: Grid, mask: Grid) -> Grid:
    """How deep each place lies within what is missed and within what is covered too much.

    ``target`` (GRID, GRID) in 0..1 and ``mask`` (BINS, BINS) in 0..1; returns float32 (2, BINS, BINS),
    distances in bins to the nearest place without that error, everything outside the picture counting as such.
    """
    wanted = cv2.resize(target, (BINS, BINS), interpolation=cv2.INTER_LINEAR) > 0.5
    covered = mask > 0.5
    padded = np.zeros((2, BINS + 2, BINS + 2), np.uint8)
    padded[0, 1:-1, 1:-1] = wanted & ~covered
    padded[1, 1:-1, 1:-1] = covered & ~wanted
    depths = [cv2.distanceTransform(p, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1] for p in padded]
    return np.stack(depths).astype(np.float32, copy=False)


def state_channels(
    features: Tensor, colours: Tensor, coverage: Tensor, others: Tensor, mask: Tensor, depths: Tensor
) -> Tensor:
    """The state head's input (n, STATE_CHANNELS, GRID, GRID).

    ``features`` (n, 16, GRID, GRID) of the detector; ``colours`` (n, 3, GRID, GRID) in -1..1 of the overlaid
    picture; ``coverage``, ``others``, ``mask`` (n, GRID, GRID) in 0..1: the hypothesis, all other objects, the
    current mask; ``depths`` (n, 2, BINS, BINS) between the hypothesis and the mask.
    """
    shallow = torch.log1p(functional.max_pool2d(depths, BINS // GRID))
    maps = torch.stack((coverage, mask, coverage - mask, others), 1)
    return torch.cat((features, colours, maps, shallow), 1)


def outline_logits(coverage: Tensor) -> Tensor:
    """Logits of a coverage in 0..1, bounded."""
    clipped = coverage.clamp(0.002, 0.998)
    return torch.log(clipped) - torch.log1p(-clipped)
