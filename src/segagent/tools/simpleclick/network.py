"""SimpleClick's network: a plain vision transformer whose patches hear of the clicks, a pyramid, and a small head.

Written from the paper (arXiv 2210.11006) and the published network's behaviour; attributes bear the published names so
that published weights fit. Parity with the published network: ``docs/parity-simpleclick.md``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.tools.simpleclick.layout import Layout

_PRETRAINED_SIDE = 224
"""Side in pixels of the pictures the transformers were pretrained on: windows of attention have about this size."""


class _Attention(nn.Module):
    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        split = self.qkv(tokens).view(batch, length, 3, self.num_heads, width // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return out


class _Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return out


class _Block(nn.Module):
    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(layout.width, eps=1e-6)
        self.norm2 = nn.LayerNorm(layout.width, eps=1e-6)
        self.attn = _Attention(layout.width, layout.num_heads)
        self.mlp = _Mlp(layout.width, layout.mlp_width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        out: Tensor = tokens + self.mlp(self.norm2(tokens))
        return out


class _Patches(nn.Module):
    def __init__(self, channels: int, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, stride=patch)

    def forward(self, picture: Tensor) -> Tensor:
        """(n, channels, height, width) to (n, patches, width), row by row."""
        out: Tensor = self.proj(picture).flatten(2).transpose(1, 2)
        return out


class _Backbone(nn.Module):
    """The plain transformer. Most blocks attend within windows; the last of each group attends everywhere."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.patch_embed = _Patches(3, layout.width, layout.patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, layout.grid**2 + 1, layout.width))
        self.blocks = nn.ModuleList(_Block(layout) for _ in range(layout.depth))
        self._layout = layout
        self._group = 6 if layout.depth == 12 else layout.depth // 4

    def forward(self, picture: Tensor, clicks: Tensor) -> Tensor:
        """Features (n, width, g, g) of pictures (n, 3, side, side) and click features (n, g * g, width)."""
        grid = picture.shape[-1] // self._layout.patch
        tokens = self.patch_embed(picture) + clicks + self._positions(grid)
        num_windows = grid // (_PRETRAINED_SIDE // self._layout.patch)
        windowed = False
        for number, block in enumerate(self.blocks, 1):
            within = number % self._group != 0
            if within and not windowed:
                tokens = _to_windows(tokens, grid, num_windows)
            elif windowed and not within:
                tokens = _from_windows(tokens, grid, num_windows)
            windowed = within
            tokens = block(tokens)
        features: Tensor = tokens.transpose(1, 2).reshape(-1, self._layout.width, grid, grid)
        return features

    def _positions(self, grid: int) -> Tensor:
        """Position embedding (1, grid * grid, width), interpolated bicubically if it was trained for another grid."""
        trained = self.pos_embed[:, 1:]
        if grid == self._layout.grid:
            return trained
        plane = trained.transpose(1, 2).reshape(1, -1, self._layout.grid, self._layout.grid)
        resized = functional.interpolate(plane, (grid, grid), mode="bicubic", align_corners=False)
        return resized.flatten(2).transpose(1, 2)


class _Pyramid(nn.Module):
    """Features at 1/4, 1/8, 1/16 and 1/32 of the input, each from the transformer's last layer alone."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        (up_4, up_2, up_8), (p4, p8, p16, p32) = layout.up_widths, layout.pyramid
        self.down_4 = nn.Sequential(
            nn.ConvTranspose2d(layout.width, up_4, 2, stride=2),
            nn.GroupNorm(1, up_4),
            nn.GELU(),
            nn.ConvTranspose2d(up_4, up_2, 2, stride=2),
            nn.GroupNorm(1, up_2),
            *_project(up_2, p4),
        )
        self.down_8 = nn.Sequential(
            nn.ConvTranspose2d(layout.width, up_8, 2, stride=2), nn.GroupNorm(1, up_8), *_project(up_8, p8)
        )
        self.down_16 = nn.Sequential(*_project(layout.width, p16))
        self.down_32 = nn.Sequential(
            nn.Conv2d(layout.width, layout.down_width, 2, stride=2),
            nn.GroupNorm(1, layout.down_width),
            *_project(layout.down_width, p32),
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        return [branch(features) for branch in (self.down_4, self.down_8, self.down_16, self.down_32)]


class _ConvRelu(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.conv(features))


class _Head(nn.Module):
    """Brings the four levels to the finest one's size, fuses them pixel by pixel, and gives one logit per pixel."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        width = layout.head_width
        self.convs = nn.ModuleList(_ConvRelu(channels, width) for channels in layout.pyramid)
        self.fusion_conv = _ConvRelu(4 * width, width)
        if layout.num_upsamplings >= 1:
            self.up_conv1 = _doubling(width)
        if layout.num_upsamplings >= 2:
            self.up_conv2 = _doubling(width // 2)
        self.conv_seg = nn.Conv2d(layout.output_width, 1, 1)
        self._num_upsamplings = layout.num_upsamplings

    def forward(self, levels: list[Tensor]) -> Tensor:
        size = levels[0].shape[-2:]
        projected = [conv(level) for conv, level in zip(self.convs, levels, strict=True)]
        aligned = [functional.interpolate(p, size, mode="bilinear", align_corners=False) for p in projected]
        fused = self.fusion_conv(torch.cat(aligned, dim=1))
        if self._num_upsamplings >= 1:
            fused = self.up_conv1(fused)
        if self._num_upsamplings >= 2:
            fused = self.up_conv2(fused)
        out: Tensor = self.conv_seg(fused)
        return out


class SimpleClickNetwork(nn.Module):
    """The whole network, for square inputs."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.patch_embed_coords = _Patches(layout.click_channels, layout.width, layout.patch)
        self.backbone = _Backbone(layout)
        self.neck = _Pyramid(layout)
        self.head = _Head(layout)

    def takes(self, side: int) -> bool:
        """Whether inputs of ``side`` pixels divide into patches and these into windows."""
        grid = side // self.layout.patch
        num_windows = grid // (_PRETRAINED_SIDE // self.layout.patch)
        return side % self.layout.patch == 0 and num_windows >= 1 and grid % num_windows == 0 and grid >= 2

    def forward(self, picture: Tensor, clicks: Tensor) -> Tensor:
        """Logits float (n, 1, side, side).

        ``picture``: RGB in [0, 1], (n, 3, side, side). ``clicks``: (n, click_channels, side, side): previous mask
        probabilities where the network has that channel, disks of positive clicks, disks of negative clicks.
        """
        mean, std = (picture.new_tensor(values)[:, None, None] for values in (self.layout.mean, self.layout.std))
        features = self.backbone((picture - mean) / std, self.patch_embed_coords(clicks))
        logits = self.head(self.neck(features))
        return functional.interpolate(logits, picture.shape[-2:], mode="bilinear", align_corners=True)


def _project(channels: int, width: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(channels, width, 1), nn.GroupNorm(1, width), nn.GELU()


def _doubling(width: int) -> nn.Sequential:
    half = width // 2
    return nn.Sequential(
        nn.ConvTranspose2d(width, half, 2, stride=2),
        nn.GroupNorm(1, half),
        *_project(half, half),
    )


def _to_windows(tokens: Tensor, grid: int, num_windows: int) -> Tensor:
    """(n, grid * grid, width) to (n * windows, patches of a window, width)."""
    side, width = grid // num_windows, tokens.shape[2]
    planes = tokens.reshape(-1, num_windows, side, num_windows, side, width).transpose(2, 3)
    return planes.reshape(-1, side * side, width)


def _from_windows(windows: Tensor, grid: int, num_windows: int) -> Tensor:
    """Inverse of :func:`_to_windows`."""
    side, width = grid // num_windows, windows.shape[2]
    planes = windows.reshape(-1, num_windows, num_windows, side, side, width).transpose(2, 3)
    return planes.reshape(-1, grid * grid, width)
