"""The SimpleClick tool: the published way of asking the network, with all state in the values handed out.

Each step looks at a rectangle of the picture (see ``region``), resized to a square, together with the previous
probabilities and the clicks, once as it is and once mirrored; the two answers are averaged before the sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import Box, Click, Image, Segmentation, SegmentRequest, SpecError, ToolError, frozen_mask
from segagent.tools.checkpoint_spec import choose_device, parse_checkpoint_spec
from segagent.tools.simpleclick.checkpoint import load_simpleclick
from segagent.tools.simpleclick.region import Region, choose_region

THRESHOLD = 0.49
"""A pixel belongs to the mask where its probability is above this (the published evaluation's value)."""

ZOOM_THRESHOLD = 0.5
"""Where the previous probability is above this, the object is for the purpose of zooming in."""

CLICK_RADIUS = 5
"""Radius of a click's disk in pixels of the network's input."""

_GPU_BATCH = 16


@dataclass(frozen=True, eq=False)
class SimpleClickEmbedding:
    """The picture itself: the network sees clicks from its first layer on, so nothing can be worked out before them."""

    image: Image


@dataclass(frozen=True, eq=False)
class SimpleClickMemory:
    """The previous probabilities: float32 (region.height, region.width), read-only; outside ``region`` they are 0."""

    region: Region
    probabilities: npt.NDArray[np.float32]


class SimpleClickTool:
    """SimpleClick with the weights of the file ``path``.

    ``side``: of the square input, 448 as published (multiples of 224 fit all published networks). ``device``: auto,
    cpu, cuda, cuda:N. ``threshold``: the probability above which a pixel belongs to the mask. Everything runs in
    float32, as published.
    """

    accepts_box = False

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        device: str = "auto",
        side: int = 448,
        threshold: float = THRESHOLD,
    ) -> None:
        self.name = name if name is not None else f"simpleclick:{path}"
        self._device = choose_device(device)
        network = load_simpleclick(path)
        if not network.takes(side):
            raise SpecError(f"{self.name}: an input of {side} pixels does not divide into its windows; take 448")
        self._network = network.to(self._device)
        self._side = side
        self._threshold = threshold
        # A batch changes last bits and saves nothing on a CPU.
        self._batch = 1 if self._device.type == "cpu" else _GPU_BATCH

    def embed(self, images: Sequence[Image]) -> list[object]:
        """One :class:`SimpleClickEmbedding` per image; costs nothing."""
        return [SimpleClickEmbedding(image) for image in images]

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`.

        A mask that comes without memory (a start mask) is the previous mask of the first look, which is at the whole
        picture. A request without prompts is answered with its own mask and memory.
        """
        answers: list[Segmentation | None] = [None] * len(requests)
        views: list[tuple[int, _View]] = []
        for index, request in enumerate(requests):
            image = self._checked(request)
            if request.prompts:
                views.append((index, self._view(image, request)))
            else:
                answers[index] = Segmentation(frozen_mask(request.mask), request.memory)
        for first in range(0, len(views), self._batch):
            chunk = views[first : first + self._batch]
            logits = self._logits([view for _, view in chunk])
            for (index, view), plane in zip(chunk, logits, strict=True):
                answers[index] = _answer(view, plane, requests[index].mask.shape, self._threshold)
        return [answer for answer in answers if answer is not None]

    def _checked(self, request: SegmentRequest) -> Image:
        embedding, memory = request.embedding, request.memory
        if not isinstance(embedding, SimpleClickEmbedding):
            raise ToolError(f"expected an embedding made by the tool {self.name!r}, got {type(embedding).__name__}")
        if memory is not None and not isinstance(memory, SimpleClickMemory):
            raise ToolError(f"expected a memory made by the tool {self.name!r}, got {type(memory).__name__}")
        image = embedding.image
        if request.mask.shape != (image.height, image.width):
            raise ToolError(f"mask {request.mask.shape} differs in size from the image {image.height, image.width}")
        for prompt in request.prompts:
            if isinstance(prompt, Box):
                raise ToolError(f"the tool {self.name!r} takes no box, only clicks")
            if not prompt.inside(image.height, image.width):
                raise ToolError(f"{prompt} lies outside the image of {image.width} x {image.height} pixels")
        return image

    def _view(self, image: Image, request: SegmentRequest) -> _View:
        clicks = [prompt for prompt in request.prompts if isinstance(prompt, Click)]
        memory = request.memory
        previous = np.zeros((image.height, image.width), np.float32)
        found = None
        if isinstance(memory, SimpleClickMemory):
            previous[memory.region.slices] = memory.probabilities
            found = previous > ZOOM_THRESHOLD
        else:
            previous[request.mask] = 1
        in_use = memory.region if isinstance(memory, SimpleClickMemory) else None
        region = choose_region(found, in_use, clicks, (image.height, image.width))
        pixels = torch.from_numpy(np.array(image.pixels[region.slices])).permute(2, 0, 1) / 255
        planes = torch.cat([pixels, torch.from_numpy(previous[region.slices])[None]])[None]
        square = (self._side, self._side)
        resized = functional.interpolate(planes, square, mode="bilinear", align_corners=True)
        return _View(region, resized, _on_input(clicks, region, self._side))

    @torch.inference_mode()
    def _logits(self, views: Sequence[_View]) -> Tensor:
        """Logits float32 (n, side, side) on the CPU: mean of the views' and of the mirrored views' mirrored back."""
        planes = torch.cat([view.planes for view in views])
        planes = torch.cat([planes, planes.flip(3)])
        mirrored = [[(y, self._side - x - 1, positive) for y, x, positive in view.clicks] for view in views]
        disks = torch.stack([click_disks(c, self._side) for c in [*(view.clicks for view in views), *mirrored]])
        has_previous = self._network.layout.click_channels == 3
        clicks = torch.cat([planes[:, 3:], disks], dim=1) if has_previous else disks
        logits = self._network(planes[:, :3].to(self._device), clicks.to(self._device))[:, 0].cpu()
        straight, flipped = logits.chunk(2)
        mean: Tensor = 0.5 * (straight + flipped.flip(2))
        return mean


@dataclass(frozen=True, eq=False)
class _View:
    """``planes``: RGB in [0, 1] and previous probabilities, (1, 4, side, side); ``clicks``: (y, x, positive) there."""

    region: Region
    planes: Tensor
    clicks: list[tuple[float, float, bool]]


def click_disks(clicks: Sequence[tuple[float, float, bool]], side: int) -> Tensor:
    """Disks of positive clicks (channel 0) and of negative ones (1), float32 0 or 1, (2, side, side).

    A click outside the input leaves the part of its disk that reaches into it, except where both its coordinates are
    negative: the published network takes that for no click.
    """
    disks = torch.zeros((2, side, side))
    for y, x, positive in clicks:
        if max(y, x) < 0:
            continue
        top, bottom = max(floor(y) - CLICK_RADIUS, 0), min(ceil(y) + CLICK_RADIUS + 1, side)
        left, right = max(floor(x) - CLICK_RADIUS, 0), min(ceil(x) + CLICK_RADIUS + 1, side)
        if top < bottom and left < right:
            rows = torch.arange(top, bottom, dtype=torch.float32) - y
            columns = torch.arange(left, right, dtype=torch.float32) - x
            inside = (rows * rows)[:, None] + (columns * columns)[None] <= CLICK_RADIUS**2
            disks[0 if positive else 1, top:bottom, left:right][inside] = 1
    return disks


def _on_input(clicks: Sequence[Click], region: Region, side: int) -> list[tuple[float, float, bool]]:
    """Clicks as (y, x, positive) in pixels of the network's input."""
    return [
        (side * (c.y - region.top) / region.height, side * (c.x - region.left) / region.width, c.positive)
        for c in clicks
    ]


def _answer(view: _View, logits: Tensor, shape: tuple[int, ...], threshold: float) -> Segmentation:
    region = view.region
    resized = functional.interpolate(
        logits.sigmoid()[None, None], (region.height, region.width), mode="bilinear", align_corners=True
    )
    probabilities = np.array(resized[0, 0].numpy())
    probabilities.setflags(write=False)
    mask = np.zeros(shape, np.bool_)
    mask[region.slices] = probabilities > threshold
    return Segmentation(frozen_mask(mask), SimpleClickMemory(region, probabilities))


_OPTIONS = {"device": "auto|cpu|cuda|cuda:N", "side": "448|672|...", "threshold": "0..1"}


def make_simpleclick(rest: str) -> SimpleClickTool:
    """The tool ``simpleclick:rest``, for example ``simpleclick:/models/cocolvis_vit_large.pth?side=672``."""
    parsed = parse_checkpoint_spec("simpleclick", rest, _OPTIONS)
    side = parsed.options.get("side", "448")
    if not side.isdecimal():
        raise SpecError(f"{parsed.spec!r}: side must be a whole number of pixels, got {side!r}")
    try:
        threshold = float(parsed.options.get("threshold", THRESHOLD))
    except ValueError:
        threshold = -1.0
    if not 0 < threshold < 1:
        raise SpecError(f"{parsed.spec!r}: threshold must be a number between 0 and 1")
    return SimpleClickTool(
        Path(parsed.source).expanduser(),
        name=parsed.spec,
        device=parsed.options.get("device", "auto"),
        side=int(side),
        threshold=threshold,
    )
