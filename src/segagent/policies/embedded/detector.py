"""Where the things of a picture are: a network over the encoder's features finds objects and draws each one's outline.

One-stage instance segmentation without classes. A centre map says where objects are; at each centre the network
writes the weights of a tiny two-layer network which, run over shared mask features and the position relative to
the centre, draws that object (conditional convolutions). Words are not looked at here, so it runs once per
picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.vision.encoder import CHANNELS, Pyramid

WORKING_SIZE = 256
"""Side of the square every picture is resized to, in pixels."""
CENTRE_STRIDE = 8
MASK_STRIDE = 4
GRID = WORKING_SIZE // MASK_STRIDE
"""Side of the maps that masks are reasoned about in, in cells."""
MASK_CHANNELS = 16
_HIDDEN = 8
_KERNEL_SIZES = (_HIDDEN * MASK_CHANNELS, _HIDDEN * 2, _HIDDEN, _HIDDEN, 1)
KERNEL_LENGTH = sum(_KERNEL_SIZES)


class Features(NamedTuple):
    """What the detector knows of a batch of pictures of side S.

    ``centres`` (batch, S/8, S/8): logits of an object's centre. ``kernels`` (batch, KERNEL_LENGTH, S/8, S/8):
    weights of the outline network at each place. ``masks`` (batch, 16, S/4, S/4): shared mask features.
    """

    centres: Tensor
    kernels: Tensor
    masks: Tensor


class ConvNorm(nn.Module):
    """3x3 convolution, batch norm, optional ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, relu: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) -> (batch, outputs, h / stride, w / stride)."""
        y: Tensor = self.norm(self.conv(x))
        return functional.relu(y) if self.relu else y


class Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels)
        self.second = ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w), unchanged in shape."""
        return functional.relu(x + self.second(self.first(x)))


def upsampled(x: Tensor) -> Tensor:
    """(batch, channels, h, w) -> (batch, channels, 2 h, 2 w)."""
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class Detector(nn.Module):
    """The encoder's pyramid of pictures of side S, a multiple of 32 -> :class:`Features`."""

    def __init__(self) -> None:
        super().__init__()
        _, c4, c8, c16, c32 = CHANNELS
        self.enter32 = nn.Sequential(nn.Conv2d(c32, 128, 1), Residual(128))
        self.enter16, self.merge16 = nn.Conv2d(c16, 128, 1), Residual(128)
        self.narrow16, self.enter8, self.merge8 = nn.Conv2d(128, 96, 1), nn.Conv2d(c8, 96, 1), Residual(96)
        self.narrow8, self.enter4, self.merge4 = nn.Conv2d(96, 48, 1), nn.Conv2d(c4, 48, 1), ConvNorm(48, 48)
        self.centre_head = nn.Sequential(ConvNorm(96, 96), nn.Conv2d(96, 1, 1))
        self.kernel_head = nn.Sequential(ConvNorm(96, 96), nn.Conv2d(96, KERNEL_LENGTH, 1))
        self.mask_head = nn.Sequential(ConvNorm(48, 48), nn.Conv2d(48, MASK_CHANNELS, 1))
        bias = self.centre_head[1].bias
        assert isinstance(bias, nn.Parameter)
        nn.init.constant_(bias, -4.0)

    def forward(self, seen: Pyramid) -> Features:
        """See the class."""
        x16 = self.merge16(self.enter16(seen.stride16) + upsampled(self.enter32(seen.stride32)))
        x8 = self.merge8(self.enter8(seen.stride8) + upsampled(self.narrow16(x16)))
        x4 = self.merge4(functional.relu(self.enter4(seen.stride4) + upsampled(self.narrow8(x8))))
        return Features(self.centre_head(x8)[:, 0], self.kernel_head(x8), self.mask_head(x4))


def draw_outlines(masks: Tensor, kernels: Tensor, centres: Tensor) -> Tensor:
    """Run each object's outline network.

    Args:
        masks: mask features of the object's picture, (objects, 16, h, w).
        kernels: the weights written at its centre, (objects, KERNEL_LENGTH).
        centres: (x, y) of the centre in pixels of the picture, (objects, 2).

    Returns:
        Logits that a cell belongs to the object, (objects, h, w).
    """
    num, channels, height, width = masks.shape
    first, place, bias, second, last = torch.split_with_sizes(kernels, list(_KERNEL_SIZES), dim=1)
    xs = (torch.arange(width, dtype=torch.float32, device=centres.device) + 0.5) * MASK_STRIDE
    ys = (torch.arange(height, dtype=torch.float32, device=centres.device) + 0.5) * MASK_STRIDE
    dx = (xs[None, :] - centres[:, 0:1]) / 64.0
    dy = (ys[None, :] - centres[:, 1:2]) / 64.0
    hidden = torch.bmm(first.view(num, _HIDDEN, channels), masks.reshape(num, channels, height * width))
    hidden = hidden.view(num, _HIDDEN, height, width)
    by_place = place.view(num, _HIDDEN, 2)
    hidden = hidden + (by_place[:, :, 0:1] * dx[:, None, :])[:, :, None, :]
    hidden = hidden + (by_place[:, :, 1:2] * dy[:, None, :])[:, :, :, None]
    hidden = functional.relu(hidden + bias[:, :, None, None])
    logits: Tensor = (hidden * second[:, :, None, None]).sum(1) + last[:, :, None]
    return logits
