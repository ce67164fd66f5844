"""EfficientNet-Lite0 as a feature pyramid (Tan and Le, arXiv 1905.11946; the "Lite" variant of TensorFlow's models).

Lite means: no squeeze-and-excite, ReLU6, and a stem and head whose widths do not scale. Strided convolutions pad as
TensorFlow does (one pixel less before than after), so that published ImageNet weights fit.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segagent.core import WeightsError

_STAGES = (
    # expansion, channels, kernel, stride, repeats
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
    (6, 320, 3, 1, 1),
)
_STEM = 32
CHANNELS = (16, 24, 40, 112, 320)
"""Channels of :class:`Pyramid`, finest first."""
STRIDES = (2, 4, 8, 16, 32)


class Pyramid(NamedTuple):
    """Features (batch, channels, side / stride, side / stride) at strides 2, 4, 8, 16 and 32."""

    stride2: Tensor
    stride4: Tensor
    stride8: Tensor
    stride16: Tensor
    stride32: Tensor


class _ConvNorm(nn.Module):
    """Convolution with TensorFlow's "same" padding, batch normalisation, optionally ReLU6."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1, relu: bool = True
    ) -> None:
        super().__init__()
        # Strided: the missing pixel of padding goes behind. Else symmetric, which the convolution does itself.
        before = (kernel - stride) // 2
        self._pad = (before, kernel - stride - before) if stride > 1 else (0, 0)
        padding = 0 if stride > 1 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w), h and w multiples of the stride, to (batch, outputs, h / stride, w / stride)."""
        if any(self._pad):
            x = functional.pad(x, self._pad * 2)
        y: Tensor = self.norm(self.conv(x))
        return functional.relu6(y) if self.relu else y

    def fold(self) -> None:
        """Put the normalisation's running statistics into the convolution."""
        self.conv = fuse_conv_bn_eval(self.conv, cast(nn.BatchNorm2d, self.norm))
        self.norm = nn.Identity()


class _Block(nn.Module):
    """Inverted bottleneck: widen, filter each channel, narrow; around it a shortcut where shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = _ConvNorm(inputs, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _ConvNorm(wide, wide, kernel, stride=stride, groups=wide)
        self.project = _ConvNorm(wide, outputs, 1, relu=False)
        self._shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, h, w) to (batch, outputs, h / stride, w / stride)."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self._shortcut else y


class Encoder(nn.Module):
    """Pictures (batch, 3, side, side) as :func:`encoder_input` gives them, ``side`` a multiple of 32, to a pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, _STEM, 3, stride=2)
        stages, inputs = [], _STEM
        for expansion, outputs, kernel, stride, repeats in _STAGES:
            blocks = [
                _Block(inputs if n == 0 else outputs, outputs, expansion, kernel, stride if n == 0 else 1)
                for n in range(repeats)
            ]
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, pictures: Tensor) -> Pyramid:
        """See the class."""
        x = self.stem(pictures)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return Pyramid(maps[0], maps[1], maps[2], maps[4], maps[6])

    def folded(self) -> Encoder:
        """This encoder made ready for answering only, in place: same features, fewer passes over memory."""
        self.eval()
        for module in self.modules():
            if isinstance(module, _ConvNorm):
                module.fold()
        return self.requires_grad_(False)


def encoder_input(pixels: Tensor) -> Tensor:
    """uint8 RGB (batch, side, side, 3) to the float32 (batch, 3, side, side) that the published weights expect."""
    return (pixels.permute(0, 3, 1, 2).float() - 127.0) / 128.0


def from_published(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published model's state dict (its own names, classifier left out) as :class:`Encoder`'s.

    Raises ``KeyError`` naming the first weight that is missing.
    """
    names = {"stem.conv.": "_conv_stem.", "stem.norm.": "_bn0."}
    number = 0
    for index, (expansion, _, _, _, repeats) in enumerate(_STAGES):
        for repeat in range(repeats):
            ours, theirs = f"stages.{index}.{repeat}.", f"_blocks.{number}."
            parts = [("depthwise", "_depthwise_conv.", "_bn1."), ("project", "_project_conv.", "_bn2.")]
            if expansion > 1:
                parts.append(("expand", "_expand_conv.", "_bn0."))
            for part, conv, norm in parts:
                names[f"{ours}{part}.conv."] = theirs + conv
                names[f"{ours}{part}.norm."] = theirs + norm
            number += 1
    result = {}
    for name in Encoder().state_dict():
        prefix, leaf = name.rsplit(".", 1)
        if leaf == "num_batches_tracked":
            result[name] = torch.tensor(0)
        else:
            result[name] = weights[names[prefix + "."] + leaf]
    return result


class PublishedHead(NamedTuple):
    """What comes after the encoder in the published classifier: ``widen`` (1280, 320) and its bias, then ReLU6 and the
    mean over the picture, then ``name`` (1000, 1280) and its bias.
    """

    widen: Tensor
    widen_bias: Tensor
    name: Tensor
    name_bias: Tensor


def read_published_head(path: Path) -> PublishedHead:
    """The classifier of the file of published weights (``.pth``), normalisation folded in. Raises ``WeightsError``."""
    weights = _published(path)
    try:
        scale = weights["_bn1.weight"] / (weights["_bn1.running_var"] + 1e-3).sqrt()
        return PublishedHead(
            weights["_conv_head.weight"][:, :, 0, 0] * scale[:, None],
            weights["_bn1.bias"] - weights["_bn1.running_mean"] * scale,
            weights["_fc.weight"],
            weights["_fc.bias"],
        )
    except KeyError as error:
        raise WeightsError(f"{path}: no classifier of EfficientNet-Lite0 ({error})") from error


def read_published(path: Path) -> dict[str, Tensor]:
    """An :class:`Encoder`'s state dict from the file of published weights (``.pth``). Raises ``WeightsError``."""
    try:
        return from_published(_published(path))
    except KeyError as error:
        raise WeightsError(f"{path}: not the published weights of EfficientNet-Lite0 ({error})") from error


def _published(path: Path) -> Mapping[str, Tensor]:
    try:
        weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return weights
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path}: not the published weights of EfficientNet-Lite0 ({error})") from error
