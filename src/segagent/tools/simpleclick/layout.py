"""The sizes of a SimpleClick network, read from the shapes of its weights and from the description beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

HEADS_BY_WIDTH = {160: 4, 768: 12, 1024: 16, 1280: 16}
"""Attention heads of the published networks (xtiny, base, large, huge); shapes of weights do not tell them."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that :class:`SimpleClickNetwork` is built from.

    ``width``, ``depth``, ``num_heads``, ``mlp_width``: of the transformer. ``patch``: side of a patch in pixels.
    ``grid``: patches along a side that the position embedding was trained for. ``click_channels``: 3 with a
    previous-mask channel, else 2. ``up_widths``, ``down_width``: inner channels of the pyramid's branches to 1/4, 1/8
    and 1/32. ``pyramid``: channels of its four levels, finest first. ``head_width``: channels in the head.
    ``num_upsamplings``: how many times the head doubles its resolution (0 in all published networks).
    ``mean``, ``std``: of the RGB channels in [0, 1].
    """

    width: int
    depth: int
    num_heads: int
    mlp_width: int
    patch: int
    grid: int
    click_channels: int
    up_widths: tuple[int, int, int]
    down_width: int
    pyramid: tuple[int, int, int, int]
    head_width: int
    num_upsamplings: int
    mean: tuple[float, float, float] = _MEAN
    std: tuple[float, float, float] = _STD

    @property
    def output_width(self) -> int:
        """Channels that the last convolution reads."""
        return self.head_width >> self.num_upsamplings


def read_layout(state: Mapping[str, Tensor], config: Mapping[str, Any]) -> Layout:
    """The layout of a checkpoint with weights ``state`` and parameters ``config`` (name to value, may be empty).

    Raises ``KeyError`` with the name of a weight that is missing and ``ValueError`` for what no SimpleClick has.
    """
    if config.get("use_disks") is False or config.get("norm_radius", 5) != 5:
        raise ValueError("clicks are not encoded as disks of radius 5")
    head_parameters = _mapping(config.get("head_params"))
    if head_parameters.get("align_corners"):
        raise ValueError("the head resizes with aligned corners")
    width, channels, patch, patch_width = state["backbone.patch_embed.proj.weight"].shape
    num_patches = state["backbone.pos_embed"].shape[1] - 1
    grid = round(num_patches**0.5)
    if channels != 3 or patch != patch_width or grid * grid != num_patches:
        raise ValueError("patches are not square, or not of RGB")
    depth = len({name.split(".")[2] for name in state if name.startswith("backbone.blocks.")})
    # Blocks form four groups; the published base network alone forms two.
    if depth == 0 or depth % 4:
        raise ValueError(f"{depth} transformer blocks, expected a multiple of 4")
    backbone_parameters = _mapping(config.get("backbone_params"))
    num_heads = backbone_parameters.get("num_heads", HEADS_BY_WIDTH.get(width))
    if not isinstance(num_heads, int) or num_heads < 1 or width % num_heads:
        raise ValueError(f"the number of attention heads of a transformer of width {width} is not known")
    outputs, head_width = int(state["head.conv_seg.weight"].shape[0]), int(state["head.fusion_conv.conv.bias"].shape[0])
    doublings = {head_width: 0, head_width // 2: 1, head_width // 4: 2}.get(int(state["head.conv_seg.weight"].shape[1]))
    if outputs != 1 or doublings is None:
        raise ValueError("the head does not give one mask")
    mean_std = config.get("norm_mean_std") or (_MEAN, _STD)
    return Layout(
        width=int(width),
        depth=depth,
        num_heads=num_heads,
        mlp_width=int(state["backbone.blocks.0.mlp.fc1.bias"].shape[0]),
        patch=int(patch),
        grid=grid,
        click_channels=int(state["patch_embed_coords.proj.weight"].shape[1]),
        up_widths=(
            int(state["neck.down_4.0.bias"].shape[0]),
            int(state["neck.down_4.3.bias"].shape[0]),
            int(state["neck.down_8.0.bias"].shape[0]),
        ),
        down_width=int(state["neck.down_32.0.bias"].shape[0]),
        pyramid=(
            int(state["neck.down_4.5.bias"].shape[0]),
            int(state["neck.down_8.2.bias"].shape[0]),
            int(state["neck.down_16.0.bias"].shape[0]),
            int(state["neck.down_32.2.bias"].shape[0]),
        ),
        head_width=head_width,
        num_upsamplings=doublings,
        mean=_three(mean_std[0]),
        std=_three(mean_std[1]),
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
