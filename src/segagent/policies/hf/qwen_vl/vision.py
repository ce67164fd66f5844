"""A picture as tokens of the language model: a plain vision transformer and a resampler of one layer behind it."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, scaled_dot_product_attention
from transformers.modeling_layers import GradientCheckpointingLayer

from segagent.policies.hf.qwen_vl.config import HEAD_WIDTH, NUM_QUERIES

_EPS = 1e-6


def positions_for(learned: Tensor, count: int) -> Tensor:
    """``learned`` positions (square grid, width) for a square grid of ``count`` places: bicubic where sizes differ."""
    side, wanted = math.isqrt(len(learned)), math.isqrt(count)
    if side == wanted:
        return learned
    grid = learned.float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
    spread = interpolate(grid, size=(wanted, wanted), mode="bicubic", align_corners=False)
    return spread.permute(0, 2, 3, 1).flatten(0, 2).to(learned.dtype)


def sine_positions(side: int, width: int) -> Tensor:
    """(side * side, ``width``): sine and cosine of the column in the first half of a row's numbers, of the row behind.

    In torch's default number type. Places go row by row; frequencies fall from 1 to 1/10000.
    """
    rates = 1.0 / 10000 ** (torch.arange(width // 4, dtype=torch.float64) / (width / 4))
    angles = torch.arange(side, dtype=torch.float64)[:, None] * rates
    one = torch.cat([angles.sin(), angles.cos()], dim=1)
    columns, rows = one.repeat(side, 1), one.repeat_interleave(side, dim=0)
    return torch.cat([columns, rows], dim=1).to(torch.get_default_dtype())


class Attention(nn.Module):
    """Self-attention in which query, key and value of a head lie next to each other in one projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(pictures, places, width) to the same."""
        joined = self.in_proj(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        query, key, value = joined.chunk(3, dim=-1)
        seen = scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        result: Tensor = self.out_proj(seen)
        return result


class VisualAttentionBlock(GradientCheckpointingLayer):  # type: ignore[misc]
    """Attention and a two-layer perceptron, each behind a layer norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=_EPS)
        inner = int(width * mlp_ratio)
        layers = OrderedDict(c_fc=nn.Linear(width, inner), gelu=nn.GELU(), c_proj=nn.Linear(inner, width))
        self.mlp = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        """(pictures, places, width) to the same."""
        x = x + self.attn(self.ln_1(x))
        result: Tensor = x + self.mlp(self.ln_2(x))
        return result


class Blocks(nn.Module):
    """The blocks, one behind the other."""

    def __init__(self, width: int, layers: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(VisualAttentionBlock(width, heads, mlp_ratio) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(pictures, places, width) to the same."""
        for block in self.resblocks:
            x = block(x)
        return x


class Resampler(nn.Module):
    """:data:`NUM_QUERIES` learned queries that attend to all places of a picture."""

    def __init__(self, width: int, output: int) -> None:
        super().__init__()
        # Kept with the weights, not made anew: the published fine-tuning code trains them along.
        self.pos_embed = nn.Parameter(sine_positions(math.isqrt(NUM_QUERIES), output), requires_grad=False)
        self.query = nn.Parameter(0.02 * torch.randn(NUM_QUERIES, output))
        self.kv_proj = nn.Linear(width, output, bias=False) if width != output else nn.Identity()
        self.attn = nn.MultiheadAttention(output, output // HEAD_WIDTH, batch_first=True)
        self.ln_q = nn.LayerNorm(output, eps=_EPS)
        self.ln_kv = nn.LayerNorm(output, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """(pictures, places, width) to (pictures, queries, output)."""
        seen = self.ln_kv(self.kv_proj(x))
        query = (self.ln_q(self.query) + self.pos_embed).expand(len(x), -1, -1)
        key = seen + positions_for(self.pos_embed, x.shape[1])
        result: Tensor = self.attn(query, key, seen, need_weights=False)[0]
        return result


class VisionTransformer(nn.Module):
    """``settings``: the ``visual`` of :class:`~segagent.policies.hf.qwen_vl.config.QWenConfig`."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        width, output, patch = settings["width"], settings["output_dim"], settings["patch_size"]
        self.conv1 = nn.Conv2d(3, width, kernel_size=patch, stride=patch, bias=False)
        # Learned for pictures of 16 patches a side; larger grids are spread over.
        self.positional_embedding = nn.Parameter(width**-0.5 * torch.randn(256, width))
        self.ln_pre = nn.LayerNorm(width, eps=_EPS)
        self.transformer = Blocks(width, settings["layers"], settings["heads"], settings["mlp_ratio"])
        self.attn_pool = Resampler(width, output)
        self.ln_post = nn.LayerNorm(output, eps=_EPS)
        self.proj = nn.Parameter(output**-0.5 * torch.randn(output, output))

    def forward(self, pixels: Tensor) -> Tensor:
        """(pictures, 3, side, side), normalised, to (pictures, queries, output)."""
        x = self.conv1(pixels.to(self.conv1.weight.dtype)).flatten(2).transpose(1, 2)
        x = self.ln_pre(x + positions_for(self.positional_embedding, x.shape[1]))
        result: Tensor = self.ln_post(self.attn_pool(self.transformer(x))) @ self.proj
        return result
