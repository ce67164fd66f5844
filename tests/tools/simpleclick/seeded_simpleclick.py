"""SimpleClick networks of the published layouts with weights made from a seed by a frozen generator.

The same name, shape and seed give the same numbers on every machine, so golden answers of the published network with
these weights can be checked here without it (see ``docs/parity-simpleclick.md``).
"""

from __future__ import annotations

from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segagent.core import Click, Image
from segagent.tools.simpleclick import Layout, SimpleClickNetwork

Floats = npt.NDArray[np.float32]


OUTSIDE = 2.0
"""How much the last bias pulls pixels out of the mask."""


def layout(
    width: int, depth: int, num_heads: int, pyramid: tuple[int, int, int, int], head_width: int, grid: int = 28
) -> Layout:
    """The layout that follows from the few numbers in which the published networks differ."""
    up_4 = max(2 * pyramid[0], width // 2)
    return Layout(
        width=width,
        depth=depth,
        num_heads=num_heads,
        mlp_width=4 * width,
        patch=16,
        grid=grid,
        click_channels=3,
        up_widths=(up_4, up_4 // 2, max(pyramid[1], width // 2)),
        down_width=max(pyramid[3], 2 * width),
        pyramid=pyramid,
        head_width=head_width,
        num_upsamplings=0,
    )


LAYOUTS = {
    "xtiny": layout(160, 8, 4, (96, 192, 288, 384), 128),
    "base": layout(768, 12, 12, (128, 256, 512, 1024), 256),
    "large": layout(1024, 24, 16, (192, 384, 768, 1536), 256),
    "mini": layout(32, 8, 4, (16, 16, 24, 32), 16, grid=14),
    "xtiny224": layout(160, 8, 4, (96, 192, 288, 384), 128, grid=14),
}


def seeded_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Weights of one parameter: spread by their fan-in, biases small, scales about 1.

    Weights that learned nothing would answer the same all over the picture, and zooming in would never be tried. So a
    quarter of the transformer's channels carries the clicks and the previous mask to a head that leans towards them.
    """
    rng = np.random.RandomState((crc32(name.encode()) + seed) % 2**32)  # its stream is frozen for good
    values = (2 * rng.random_sample(int(np.prod(shape))) - 1).astype(np.float32).reshape(shape)
    part, last = name.partition(".")[0], name.endswith("bias")
    if name == "head.conv_seg.bias":
        values = values * 0 - np.float32(OUTSIDE)
    elif name == "patch_embed_coords.proj.weight":
        values *= np.float32(0.05)
        values[: shape[0] // 4] += np.array([0.02, 0.2, -0.2], np.float32)[-shape[1] :, None, None]
    elif len(shape) == 1:
        values = values * np.float32(0.1) + np.float32(not last)
    elif not name.endswith(("pos_embed", "cls_token")):
        transposed = name in ("neck.down_4.0.weight", "neck.down_4.3.weight", "neck.down_8.0.weight")
        limit = np.float32((3 / (shape[0] if transposed else np.prod(shape[1:]))) ** 0.5)
        values *= limit
        if part == "backbone":
            values *= np.float32(0.5)
        elif name in ("neck.down_4.0.weight", "neck.down_8.0.weight"):
            values[: shape[0] // 4] += limit
        elif name in ("neck.down_16.0.weight", "neck.down_32.0.weight"):
            values[:, : shape[1] // 4] += limit
        elif name == "head.conv_seg.weight":
            values = np.float32(0.002) * (values + np.float32(0.5) * limit)
        elif part == "head":
            values += np.float32(0.5) * limit
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def seeded_state(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """Weights for every name."""
    return {name: seeded_tensor(name, shape, seed) for name, shape in shapes.items()}


def seeded_network(kind: str, seed: int) -> SimpleClickNetwork:
    """A network of a published layout."""
    network = SimpleClickNetwork(LAYOUTS[kind])
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    network.load_state_dict(seeded_state(shapes, seed))
    return network.eval().requires_grad_(False)


def seeded_image(height: int, width: int, seed: int) -> Image:
    """A picture of coarse coloured blobs with a little noise."""
    rng = np.random.RandomState(seed)
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    pixels = np.zeros((height, width, 3))
    for _ in range(6):
        y, x, radius = rng.random_sample(3) * (height, width, 0.4 * min(height, width)) + (0, 0, 20)
        inside = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
        pixels[inside] = rng.random_sample(3) * 220
    pixels += rng.random_sample((height, width, 1)) * 30
    return Image.of(np.clip(pixels, 0, 255).astype(np.uint8))


def seeded_inputs(seed: int, side: int = 448) -> tuple[Tensor, Floats, list[tuple[float, float, bool]]]:
    """A picture float32 in [0, 1] (1, 3, side, side), previous probabilities (side, side), clicks (y, x, positive)."""
    picture = torch.from_numpy(np.array(seeded_image(side, side, seed).pixels)).permute(2, 0, 1)[None] / 255
    rng = np.random.RandomState(seed + 1)
    rows, columns = np.mgrid[:side, :side]
    y, x = rng.random_sample(2) * side
    previous = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (0.1 * side) ** 2).astype(np.float32)
    clicks = [(float(a * side), float(b * side), n % 3 != 2) for n, (a, b) in enumerate(rng.random_sample((5, 2)))]
    return picture, previous, clicks


EPISODES: dict[str, tuple[str, int, tuple[int, int], list[Click]]] = {
    "wide": (
        "xtiny",
        448,
        (320, 500),
        [
            Click(250, 160, True),
            Click(300, 100, True),
            Click(20, 300, False),
            Click(310, 200, True),
            Click(499, 319, True),
            Click(40, 40, False),
        ],
    ),
    "tall": (
        "xtiny",
        448,
        (700, 330),
        [Click(100, 500, True), Click(150, 530, True), Click(10, 20, False), Click(90, 470, False)],
    ),
    "small, another grid": ("xtiny224", 448, (60, 90), [Click(50, 30, True), Click(5, 5, False)]),
    "larger input": ("xtiny", 672, (480, 640), [Click(320, 240, True), Click(600, 10, False), Click(330, 260, True)]),
}
"""Episodes of clicks: layout, input side, size of the picture, clicks."""
