"""From requests to the tensors of a prompt: coordinates, grouping of what can be decoded together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from segagent.core import Box, Click, SegmentRequest, ToolError
from segagent.tools.sam.frame import Frame


@dataclass(frozen=True, slots=True)
class PromptShape:
    """What prompts must have in common to be decoded in one call.

    A padded point takes part in the decoder's attention, so prompts with other numbers of points are never padded to
    the same length: each answer is the one that its prompt alone would get.
    """

    num_points: int
    has_box: bool
    has_mask: bool

    @property
    def multimask(self) -> bool:
        """Whether the decoder is asked for several masks: only where one click says nothing about the extent."""
        return self.num_points == 1 and not self.has_box and not self.has_mask


def prompt_shape(request: SegmentRequest) -> PromptShape:
    """The shape of a request's prompts. Raises ``ToolError`` for more than one box."""
    num_points = sum(isinstance(prompt, Click) for prompt in request.prompts)
    num_boxes = len(request.prompts) - num_points
    if num_boxes > 1:
        raise ToolError("SAM takes one box per mask")
    return PromptShape(num_points, num_boxes == 1, request.memory is not None or bool(request.mask.any()))


def check_inside(request: SegmentRequest, frame: Frame, name: str) -> None:
    """Raise ``ToolError`` for a mask of another size than the picture, or a prompt that lies outside it."""
    if request.mask.shape != (frame.height, frame.width):
        raise ToolError(f"mask {request.mask.shape} differs in size from the image {frame.height, frame.width}")
    for prompt in request.prompts:
        if not prompt.inside(frame.height, frame.width):
            raise ToolError(f"{name}: {prompt} lies outside the image of {frame.width} x {frame.height} pixels")


def point_tensors(requests: Sequence[SegmentRequest], frame: Frame) -> tuple[Tensor, Tensor]:
    """Coordinates float32 (n, points, 2), x before y, in input pixels, and labels int64 (n, points), 1 for positive.

    A click's pixel (x, y) is scaled as it is; the model itself adds the half pixel to its centre.
    """
    scale_x, scale_y = frame.scale
    clicks = [[prompt for prompt in request.prompts if isinstance(prompt, Click)] for request in requests]
    points = [[(click.x * scale_x, click.y * scale_y) for click in row] for row in clicks]
    labels = [[int(click.positive) for click in row] for row in clicks]
    return torch.tensor(points, dtype=torch.float32), torch.tensor(labels, dtype=torch.int64)


def box_tensor(requests: Sequence[SegmentRequest], frame: Frame) -> Tensor:
    """Boxes float32 (n, 4): x0, y0, x1, y1 in input pixels, the edges as they are (x1 and y1 exclusive)."""
    scale_x, scale_y = frame.scale
    boxes = [next(prompt for prompt in request.prompts if isinstance(prompt, Box)) for request in requests]
    rows = [(box.x0 * scale_x, box.y0 * scale_y, box.x1 * scale_x, box.y1 * scale_y) for box in boxes]
    return torch.tensor(rows, dtype=torch.float32)
