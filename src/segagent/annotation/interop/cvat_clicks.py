"""A segmentation tool of SegAgent as an interactor of CVAT: clicks and a box in its page become a mask.

    cvat-cli --server-host HOST function create-native "SegAgent clicks" \\
        --function-module segagent.annotation.interop.cvat_clicks -p tool=str:embedded
    cvat-cli --server-host HOST function run-agent ID \\
        --function-module segagent.annotation.interop.cvat_clicks -p tool=str:embedded

Needs ``cvat-sdk`` and ``cvat-cli``, which are no part of segagent.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from typing import Any, TypeAlias

import numpy as np

from segagent.annotation.interop.cvat import mask_points
from segagent.annotation.interop.cvat_function import auto_annotation
from segagent.annotation.single import box_start
from segagent.core import Box, Click, Image, Prompt, SegmentationTool, State, empty_mask
from segagent.environment import step
from segagent.tools import make_tool

_Prepared: TypeAlias = tuple[Image, object]


def create(tool: str = "embedded") -> InteractionFunction:
    """What ``cvat-cli`` calls with its ``-p`` parameters. Raises ``MissingExtraError`` without ``cvat-sdk``."""
    return InteractionFunction(make_tool(tool))


class InteractionFunction:
    """The interface of ``cvat_sdk.auto_annotation.InteractionFunction``."""

    def __init__(self, tool: SegmentationTool) -> None:
        self._tool, self._sdk = tool, auto_annotation()

    @property
    def spec(self) -> Any:
        """What a person may give: a box to begin with, positive points, negative ones; none of them has to be."""
        return self._sdk.InteractionFunctionSpec(min_pos_points=0, min_neg_points=0, min_bounding_boxes=0)

    def preprocess_image(self, context: Any, image: Any) -> _Prepared:
        """A Pillow image made ready for any number of clicks; CVAT's agent keeps it."""
        del context
        picture = Image.of(np.asarray(image.convert("RGB")))
        return picture, self._tool.embed([picture])[0]

    def detect(self, context: Any, pp_image: _Prepared, prompts: Any) -> list[Any]:
        """The mask of the box, then the positive points, then the negative ones; nothing where it is empty.

        CVAT does not tell in which order they were clicked. Points beside the picture count as on its border.
        """
        del context
        image, embedding = pp_image
        state = State(empty_mask(image.height, image.width))
        given: list[Prompt] = []
        if prompts.bounding_box is not None and (box := _box(prompts.bounding_box, image)) is not None:
            start = box_start(box, image, self._tool)
            if start.mask is None:
                given.append(box)
            else:
                state = State(start.mask)
        given += _clicks(prompts.pos_points, image, positive=True)
        given += _clicks(prompts.neg_points, image, positive=False)
        for prompt in given:
            state = step(embedding, state, prompt, self._tool)
        if not state.mask.any():
            return []
        return [self._sdk.InteractionResultShape(type="mask", points=mask_points(state.mask))]


def _clicks(points: Sequence[tuple[float, float]], image: Image, *, positive: bool) -> list[Click]:
    return [
        Click(min(max(floor(x), 0), image.width - 1), min(max(floor(y), 0), image.height - 1), positive)
        for x, y in points
    ]


def _box(corners: Sequence[tuple[float, float]], image: Image) -> Box | None:
    """The pixels that a box touches; None where there are none."""
    (x0, x1), (y0, y1) = (sorted(values) for values in zip(*corners, strict=True))
    box = Box(max(floor(x0), 0), max(floor(y0), 0), min(ceil(x1), image.width), min(ceil(y1), image.height))
    return box if box.inside(image.height, image.width) else None
