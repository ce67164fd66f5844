"""The embedded tool: a small click-conditioned network whose weights come with the package.

The first clicks read the whole picture at the network's own resolution and, where that finds a small object, once more
the rectangle around it. Later clicks read only that rectangle, so that thin and small things get pixels enough; where
the object turns out to go on beyond it, the whole picture again. Requests are answered one by one: batched float
arithmetic gives last-bit differences with the batch size, and on CPU a batch saves almost nothing. All is computed in
float32 on one thread, see :mod:`segagent.cpu`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segagent.core import (
    BoolMask,
    Box,
    Click,
    Image,
    Prompt,
    Segmentation,
    SegmentRequest,
    ToolError,
    frozen_mask,
)
from segagent.core.recent import Recent
from segagent.cpu import on_one_thread
from segagent.vision.click_evidence import (
    ClickEvidence,
    Floats,
    GridClick,
    ViewEvidence,
    add_clicks,
    evidence_channels,
    no_clicks,
    view_evidence,
)
from segagent.vision.click_network import NUM_FINE, ClickNetwork
from segagent.vision.click_views import (
    Rectangle,
    around_object,
    box_fill,
    click_disks,
    resized,
    resized_part,
    runs_out_of,
)
from segagent.vision.click_weights import load_network
from segagent.vision.encoder import Pyramid
from segagent.vision.sight import SIDE, sight_beside


@dataclass(frozen=True, eq=False)
class ViewEmbedding:
    """What is computed once per view: the trunk's features (1, channels, h, w) each, and click-free evidence."""

    features: tuple[Tensor, ...]
    evidence: ViewEvidence


@dataclass(frozen=True, eq=False)
class EmbeddedImage:
    """The tool's embedding of an image: the picture itself (for zooming in) and its full view."""

    image: Image
    full: ViewEmbedding


@dataclass(frozen=True, eq=False)
class EmbeddedMemory:
    """What the tool remembers of a step, read-only.

    ``prompts``: those that the step answered. ``evidence``: click evidence of the full view from the first
    ``num_in_evidence`` of them. ``probabilities``: of the mask in the full view, float32 (side, side).
    ``closer``: rectangle and probabilities (side, side) of the closer look, where there was one.
    """

    prompts: tuple[Prompt, ...]
    evidence: ClickEvidence
    num_in_evidence: int
    probabilities: Floats
    closer: tuple[Rectangle, Floats] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request's prompts by kind: the box it began with, if any, and all clicks."""

    box: Box | None
    clicks: list[Click]


_EARLY_CLICKS = 2
"""So long the object's extent is a guess: the whole picture is read, and only small things are looked at closer."""
_SMALL = 0.45
_FIRST_CLICK_BIAS = 0.4
"""Added to the logits after the first click; chosen on photographs and scenes kept for validation."""
_RECENT_VIEWS = 8
_STEADY_UP_TO = 1.8


class EmbeddedTool:
    """Click-conditioned segmentation with the weights of ``path`` (default: those of the package).

    ``zoom``: whether to look a second time at the rectangle around the object.
    """

    accepts_box = True
    thread_safe = True

    def __init__(self, path: Path | None = None, *, zoom: bool = True) -> None:
        self.name = "embedded" if path is None else f"embedded:{path}"
        path = path if path is not None else packaged_weights()
        network, meta = load_network(path)
        self._network: ClickNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._sight = sight_beside(path, str(meta.get("encoder")))
        self._side = int(meta["side"])
        self._zoom = zoom
        self._recent: Recent[tuple[str, Rectangle], ViewEmbedding] = Recent(_RECENT_VIEWS)

    @on_one_thread()
    def embed(self, images: Sequence[Image]) -> list[object]:
        """One :class:`EmbeddedImage` per image."""
        return [EmbeddedImage(image, self._view(image, (0, 0, image.width, image.height))) for image in images]

    @on_one_thread()
    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`."""
        return [self._segment(request) for request in requests]

    def _segment(self, request: SegmentRequest) -> Segmentation:
        embedded = request.embedding
        if not isinstance(embedded, EmbeddedImage):
            raise ToolError(f"expected an embedding made by the tool 'embedded', got {type(embedded).__name__}")
        image = embedded.image
        if request.mask.shape != (image.height, image.width):
            raise ToolError(f"mask {request.mask.shape} differs in size from the image {image.height, image.width}")
        asked = _asked(request.prompts, image)
        if not asked.clicks and asked.box is None:
            return Segmentation(frozen_mask(request.mask), request.memory)
        memory = self._recall(request)
        if memory is None:
            return self._both(embedded, request, asked, None, request.mask.astype(np.float32))
        before = np.array(resized(memory.probabilities, image.height, image.width))
        _paint(before, memory.closer)
        part = self._part(request.mask, asked)
        if part is not None and len(asked.clicks) > _EARLY_CLICKS:
            part = _steady(part, memory.closer)
            closer = self._look_closer(image, part, asked, before)
            if not runs_out_of(closer >= 0.5, part, image.height, image.width):
                return self._remembered(request, memory.evidence, memory.num_in_evidence, before, (part, closer))
        return self._both(embedded, request, asked, memory, before)

    def _both(
        self,
        embedded: EmbeddedImage,
        request: SegmentRequest,
        asked: Asked,
        memory: EmbeddedMemory | None,
        before: Floats,
    ) -> Segmentation:
        """The full view and, where it pays, a closer look at what it found; ``before``: mask so far (height, width)."""
        image = embedded.image
        full: Rectangle = (0, 0, image.width, image.height)
        known = 0 if memory is None else memory.num_in_evidence
        earlier = no_clicks(1, self._side // 2) if memory is None else memory.evidence
        evidence = add_clicks(embedded.full.evidence, earlier, _on_grid(asked.clicks[known:], full))
        previous = resized(before, self._side, self._side)
        probabilities = self._answer(embedded.full, evidence, previous, asked, full)
        answer = resized(probabilities, image.height, image.width)
        part = self._part(answer >= 0.5, asked)
        if part is not None and memory is not None:
            part = _steady(part, memory.closer)
        closer = None if part is None else (part, self._look_closer(image, part, asked, answer))
        return self._remembered(request, evidence, len(asked.clicks), answer, closer)

    def _remembered(
        self,
        request: SegmentRequest,
        evidence: ClickEvidence,
        known: int,
        answer: Floats,
        closer: tuple[Rectangle, Floats] | None,
    ) -> Segmentation:
        """The mask of probabilities ``answer`` (height, width) with ``closer`` painted over, and the memory of it."""
        _paint(answer, closer)
        probabilities = resized(answer, self._side, self._side)
        probabilities.setflags(write=False)
        if closer is not None:
            closer[1].setflags(write=False)
        memory = EmbeddedMemory(request.prompts, evidence, known, probabilities, closer)
        return Segmentation(frozen_mask(answer >= 0.5), memory)

    def _part(self, mask: BoolMask, asked: Asked) -> Rectangle | None:
        """The rectangle to look at closer, if any; ``mask`` (height, width) is what is known of the object."""
        if not self._zoom:
            return None
        part = around_object(mask, [c for c in asked.clicks if c.positive] + _corners(asked.box))
        if part is None or len(asked.clicks) > _EARLY_CLICKS or asked.box is not None:
            return part
        x0, y0, x1, y1 = part
        height, width = mask.shape
        return part if max((x1 - x0) / width, (y1 - y0) / height) <= _SMALL else None

    def _recall(self, request: SegmentRequest) -> EmbeddedMemory | None:
        """The request's memory, if it is of an earlier state of the same prompts."""
        memory = request.memory
        if memory is None:
            return None
        if not isinstance(memory, EmbeddedMemory):
            raise ToolError(f"expected a memory made by the tool 'embedded', got {type(memory).__name__}")
        return memory if request.prompts[: len(memory.prompts)] == memory.prompts else None

    def _look_closer(self, image: Image, part: Rectangle, asked: Asked, answer: Floats) -> Floats:
        x0, y0, x1, y1 = part
        view = self._closer_view(image, part)
        inside = [c for c in asked.clicks if x0 <= c.x < x1 and y0 <= c.y < y1]
        evidence = add_clicks(view.evidence, no_clicks(1, self._side // 2), _on_grid(inside, part))
        return self._answer(view, evidence, resized_part(answer, part, self._side), Asked(asked.box, inside), part)

    def _closer_view(self, image: Image, part: Rectangle) -> ViewEmbedding:
        """The view of ``part``; the latest are kept, for the next click mostly reads the same rectangle."""
        return self._recent.made((image.key, part), lambda: self._view(image, part))

    def _view(self, image: Image, part: Rectangle) -> ViewEmbedding:
        pixels = resized_part(image.pixels, part, self._side)[None]
        whole = part == (0, 0, image.width, image.height) and self._side == SIDE
        pyramid: Pyramid = self._sight.whole(image) if whole else self._sight.views(pixels)
        with torch.inference_mode():
            features = self._network.trunk(pyramid)
        return ViewEmbedding(features, view_evidence(pixels))

    def _answer(
        self, view: ViewEmbedding, evidence: ClickEvidence, previous: Floats, asked: Asked, part: Rectangle
    ) -> Floats:
        """Mask probabilities float32 (side, side) of a view."""
        grid = self._side // 2
        coarse = resized(previous, grid, grid)[None]
        fine = np.empty((1, NUM_FINE, self._side, self._side), np.float32)
        fine[0, 0] = previous
        fine[0, 1:3] = click_disks([(x, y, positive) for _, x, y, positive in _on_grid(asked.clicks, part)], self._side)
        fine[0, 3] = box_fill(_box_in(asked.box, part), self._side)
        channels = evidence_channels(view.evidence, evidence, coarse)
        with torch.inference_mode():
            logits = self._network.click(
                view.features,
                torch.from_numpy(fine).contiguous(memory_format=torch.channels_last),
                torch.from_numpy(channels).contiguous(memory_format=torch.channels_last),
            )
            # One click tells little of an object's extent, and the network is too careful about it.
            alone = len(asked.clicks) == 1 and asked.box is None and not previous.any()
            probabilities: Floats = (logits[0] + (_FIRST_CLICK_BIAS if alone else 0.0)).sigmoid().numpy()
        return probabilities


def packaged_weights() -> Path:
    """Where the weights that come with the package are."""
    return Path(str(resources.files("segagent"))) / "weights" / "tool.safetensors"


def _asked(prompts: Sequence[Prompt], image: Image) -> Asked:
    box: Box | None = None
    clicks = []
    for number, prompt in enumerate(prompts):
        if not prompt.inside(image.height, image.width):
            raise ToolError(f"{prompt} lies outside the image of {image.width} x {image.height} pixels")
        if isinstance(prompt, Click):
            clicks.append(prompt)
        elif number == 0:
            box = prompt
        else:
            raise ToolError("the tool 'embedded' takes a box as the first prompt only, clicks after it")
    return Asked(box, clicks)


def _corners(box: Box | None) -> list[Click]:
    """The box's corner pixels, for what has to hold them all."""
    return [] if box is None else [Click(box.x0, box.y0, True), Click(box.x1 - 1, box.y1 - 1, True)]


def _box_in(box: Box | None, part: Rectangle) -> tuple[float, float, float, float] | None:
    """The box in fractions of the rectangle's width and height, cut to it."""
    if box is None:
        return None
    x0, y0, x1, y1 = part
    xs = np.clip((np.array((box.x0, box.x1)) - x0) / (x1 - x0), 0, 1)
    ys = np.clip((np.array((box.y0, box.y1)) - y0) / (y1 - y0), 0, 1)
    return float(xs[0]), float(ys[0]), float(xs[1]), float(ys[1])


def _steady(part: Rectangle, closer: tuple[Rectangle, Floats] | None) -> Rectangle:
    """The rectangle of the step before, as long as it holds ``part`` and is not much larger: it is encoded already."""
    if closer is None:
        return part
    before = closer[0]
    holds = before[0] <= part[0] and before[1] <= part[1] and before[2] >= part[2] and before[3] >= part[3]
    return before if holds and _area(before) <= _STEADY_UP_TO * _area(part) else part


def _area(part: Rectangle) -> int:
    return (part[2] - part[0]) * (part[3] - part[1])


def _paint(answer: Floats, closer: tuple[Rectangle, Floats] | None) -> None:
    if closer is not None:
        (x0, y0, x1, y1), probabilities = closer
        answer[y0:y1, x0:x1] = resized(probabilities, y1 - y0, x1 - x0)


def _on_grid(clicks: Sequence[Click], part: Rectangle) -> list[GridClick]:
    x0, y0, x1, y1 = part
    return [(0, (c.x - x0 + 0.5) / (x1 - x0), (c.y - y0 + 0.5) / (y1 - y0), c.positive) for c in clicks]
