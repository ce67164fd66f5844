"""The embedded tool's network over the encoder's features: a trunk, once per view, and a click net, once per step.

Both are convolutional over a square *view* (a rectangle of the picture resized to ``side`` x ``side``), so most of
the arithmetic that does not depend on the clicks is paid once and shared by all branches of a search. The click net
reads cheap evidence maps (:mod:`segagent.vision.click_evidence`), which trials found to matter more than size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segagent.vision.click_evidence import NUM_EVIDENCE
from segagent.vision.encoder import CHANNELS, Pyramid

NUM_FINE = 4
"""Channels that the click net reads at full resolution."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Sizes of the network. ``widths``: channels at 1/2, 1/4, 1/8 and 1/16 of the view's side."""

    widths: tuple[int, int, int, int] = (32, 64, 96, 128)
    heads: int = 4
    num_attention: int = 2
    num_evidence: int = NUM_EVIDENCE

    def to_dict(self) -> dict[str, object]:
        """JSON form."""
        return {**asdict(self), "widths": list(self.widths)}


class ConvNorm(nn.Sequential):
    """3x3 convolution and batch normalisation, optionally with a ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1, relu: bool = True) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
        super().__init__(*layers, *([nn.ReLU(inplace=True)] if relu else []))

    def fold(self) -> None:
        """Put the normalisation's running statistics into the convolution: same answers, less memory traffic."""
        self[0] = fuse_conv_bn_eval(cast(nn.Conv2d, self[0]), cast(nn.BatchNorm2d, self[1]))
        self[1] = nn.Identity()


class Residual(nn.Module):
    """Two 3x3 convolutions around a skip connection; (batch, width, h, w) to the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out."""
        return functional.relu(x + cast(Tensor, self.second(self.first(x))))


class Attention(nn.Module):
    """Pre-norm self-attention over all places of a coarse map, positions given by a depthwise convolution."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Conv2d(width, width, 3, 1, 1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, width, h, w) to the same shape."""
        x = x + self.place(x)
        batch, width, height, columns = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        q, k, v = (
            part.reshape(batch, -1, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(self.norm(tokens)).chunk(3, dim=-1)
        )
        # Plain matrix products: the fused kernel was slower on CPU.
        weights = torch.softmax(q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5, dim=-1)
        tokens = tokens + self.out((weights @ v).transpose(1, 2).reshape(batch, -1, width))
        tokens = tokens + self.mlp(tokens)
        result: Tensor = tokens.transpose(1, 2).reshape(batch, width, height, columns)
        return result


class Trunk(nn.Module):
    """From the encoder's pyramid to the image features that the click net reads; no click changes them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = CHANNELS
        w2, w4, w8, w16 = config.widths
        self.scale2, self.scale4, self.scale8 = nn.Conv2d(c2, w2, 1), nn.Conv2d(c4, w4, 1), nn.Conv2d(c8, w8, 1)
        self.scale16, self.scale32 = nn.Conv2d(c16, w16, 1), nn.Conv2d(c32, w16, 1)
        self.global16 = nn.Sequential(nn.ReLU(), Residual(w16), Attention(w16, config.heads))

    def forward(self, pyramid: Pyramid) -> tuple[Tensor, ...]:
        """The encoder's features to maps at 1/2, 1/4, 1/8 and 1/16 of the side with the config's widths."""
        coarse = self.global16(self.scale16(pyramid.stride16) + _double(self.scale32(pyramid.stride32)))
        return self.scale2(pyramid.stride2), self.scale4(pyramid.stride4), self.scale8(pyramid.stride8), coarse


class ClickNet(nn.Module):
    """Image features, the previous mask, click disks and evidence to mask logits."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        w2, w4, w8, w16 = config.widths
        self.enter = ConvNorm(4 * NUM_FINE + config.num_evidence + w2, w2)
        self.scale2 = ConvNorm(w2, w2)
        self.down4, self.scale4 = ConvNorm(w2, w4, stride=2, relu=False), Residual(w4)
        self.down8, self.scale8 = ConvNorm(w4, w8, stride=2, relu=False), Residual(w8)
        self.down16, self.scale16 = ConvNorm(w8, w16, stride=2, relu=False), Residual(w16)
        self.attention = nn.Sequential(*(Attention(w16, config.heads) for _ in range(config.num_attention)))
        self.up8, self.decode8 = nn.Conv2d(w16, w8, 1), Residual(w8)
        self.up4, self.decode4 = nn.Conv2d(w8, w4, 1), Residual(w4)
        self.up2, self.decode2 = nn.Conv2d(w4, w2, 1), Residual(w2)
        # Four logits per half-resolution place, one for each pixel of the view: as fine as a full-resolution
        # layer (the inputs came the same way) at a third of its cost.
        self.logits = nn.Conv2d(w2, 4, 3, 1, 1)

    def forward(self, features: tuple[Tensor, ...], fine_input: Tensor, evidence: Tensor) -> Tensor:
        """Logits (batch, side, side).

        Args:
            features: what :class:`Trunk` gave.
            fine_input: (batch, NUM_FINE, side, side): previous mask probabilities, positive and negative click disks,
                the box.
            evidence: (batch, num_evidence, side/2, side/2).
        """
        f2, f4, f8, f16 = features
        x2 = self.scale2(self.enter(torch.cat([functional.pixel_unshuffle(fine_input, 2), evidence, f2], 1)))
        x4 = self.scale4(functional.relu(self.down4(x2) + f4))
        x8 = self.scale8(functional.relu(self.down8(x4) + f8))
        x16 = self.attention(self.scale16(functional.relu(self.down16(x8) + f16)))
        y8 = self.decode8(functional.relu(_double(self.up8(x16)) + x8))
        y4 = self.decode4(functional.relu(_double(self.up4(y8)) + x4))
        y2 = self.decode2(functional.relu(_double(self.up2(y4)) + x2))
        return functional.pixel_shuffle(self.logits(y2).float(), 2)[:, 0]


class ClickNetwork(nn.Module):
    """Trunk and click net together: one set of weights. The encoder is apart, since others read it too."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = Trunk(config)
        self.click = ClickNet(config)

    def folded(self) -> ClickNetwork:
        """This network made ready for answering only, in place."""
        self.eval()
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        return self


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
