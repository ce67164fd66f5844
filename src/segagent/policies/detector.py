"""Where the things of a picture are: a convolutional network that finds objects and draws each one's outline.

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

WORKING_SIZE = 256
"""Side of the square every picture is resized to, in pixels."""
CENTRE_STRIDE = 8
MASK_STRIDE = 4
_MASK_CHANNELS = 16
_HIDDEN = 8
_KERNEL_SIZES = (_HIDDEN * _MASK_CHANNELS, _HIDDEN * 2, _HIDDEN, _HIDDEN, 1)
KERNEL_LENGTH = sum(_KERNEL_SIZES)


class Features(NamedTuple):
    """What the detector knows of a batch of pictures of side S.

    ``centres`` (batch, S/8, S/8): logits of an object's centre. ``kernels`` (batch, KERNEL_LENGTH, S/8, S/8):
    weights of the outline network at each place. ``masks`` (batch, 16, S/4, S/4): shared mask features.
    """

    centres: Tensor
    kernels: Tensor
    masks: Tensor


class _ConvNorm(nn.Module):
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


class _Residual(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _ConvNorm(channels, channels)
        self.second = _ConvNorm(channels, channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, h, w), unchanged in shape."""
        return functional.relu(x + self.second(self.first(x)))


def _upsampled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")


class Detector(nn.Module):
    """Pictures (batch, 3, S, S), RGB scaled to about -1..1, S a multiple of 32 -> :class:`Features`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, 32, 2)
        self.stage4 = nn.Sequential(_ConvNorm(32, 32, 2), _Residual(32))
        self.stage8 = nn.Sequential(_ConvNorm(32, 64, 2), _Residual(64), _Residual(64))
        self.stage16 = nn.Sequential(_ConvNorm(64, 128, 2), _Residual(128), _Residual(128))
        self.stage32 = nn.Sequential(_ConvNorm(128, 128, 2), _Residual(128))
        self.merge16 = _ConvNorm(128, 128)
        self.narrow16 = nn.Conv2d(128, 64, 1)
        self.merge8 = _ConvNorm(64, 64)
        self.narrow8 = nn.Conv2d(64, 32, 1)
        self.merge4 = _ConvNorm(32, 32)
        self.centre_head = nn.Sequential(_ConvNorm(64, 64), nn.Conv2d(64, 1, 1))
        self.kernel_head = nn.Sequential(_ConvNorm(64, 64), nn.Conv2d(64, KERNEL_LENGTH, 1))
        self.mask_head = nn.Sequential(_ConvNorm(32, 32), nn.Conv2d(32, _MASK_CHANNELS, 1))
        bias = self.centre_head[1].bias
        assert isinstance(bias, nn.Parameter)
        nn.init.constant_(bias, -4.0)

    def forward(self, pictures: Tensor) -> Features:
        """See the class."""
        x4 = self.stage4(self.stem(pictures))
        x8 = self.stage8(x4)
        x16 = self.stage16(x8)
        x16 = self.merge16(x16 + _upsampled(self.stage32(x16)))
        x8 = self.merge8(x8 + _upsampled(self.narrow16(x16)))
        x4 = self.merge4(x4 + _upsampled(self.narrow8(x8)))
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
    xs = (torch.arange(width, dtype=torch.float32) + 0.5) * MASK_STRIDE
    ys = (torch.arange(height, dtype=torch.float32) + 0.5) * MASK_STRIDE
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
