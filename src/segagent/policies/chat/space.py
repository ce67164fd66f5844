"""The numbers a chat model writes for a place in a picture, and what they mean in original-image pixels.

Two kinds. *Relative* spaces (``scale`` 1, 100, 1000): a number is a position along the side, ``scale`` being its far
end; the pixel is the one that contains the position, or (``nearest``) the one whose index is nearest to it. *Pixel*
spaces (``scale`` None): a number is the index of a pixel of the picture as the model is shown it; the original pixel is
the one under that pixel's centre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

Axes: TypeAlias = Literal["xy", "yx"]
Size: TypeAlias = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True, slots=True)
class Space:
    """A coordinate convention.

    ``axes``: the order of a point's two numbers; ``box_axes``: that of a box's corners where it differs.
    ``decimals``: digits written after the point. ``closed``: whether ``scale`` itself may be written (it then names
    the last pixel). ``offset``: (x, y) that the model adds to every coordinate, in its own numbers; 0 for all known
    families, found by ``segagent doctor`` where a server pads or crops. ``nearest``: in a relative space, a point's
    number divided by ``scale`` and times the side is rounded to the nearest pixel index (the published SegAgent code);
    else the pixel is the one that contains the position, up to a pixel before that.
    """

    scale: float | None
    axes: Axes = "xy"
    decimals: int = 0
    closed: bool = False
    offset: tuple[float, float] = (0.0, 0.0)
    box_axes: Axes | None = None
    nearest: bool = False

    def point_to_pixel(self, x: float, y: float, shown: Size, size: Size) -> tuple[int, int] | None:
        """The original pixel (x, y) that the written ``x`` and ``y`` name; None if they lie outside the picture.

        ``shown`` and ``size`` are the (height, width) of the picture shown to the model and of the original.
        """
        column = self._pixel(x - self.offset[0], shown[1], size[1])
        row = self._pixel(y - self.offset[1], shown[0], size[0])
        return None if column is None or row is None else (column, row)

    def pixel_to_point(self, x: int, y: int, shown: Size, size: Size) -> tuple[float, float]:
        """The numbers (x, y) to write for an original pixel: the nearest that the space can express."""
        return (
            self._written(x, shown[1], size[1]) + self.offset[0],
            self._written(y, shown[0], size[0]) + self.offset[1],
        )

    def edge_to_pixel(self, value: float, along: Literal["x", "y"], shown: Size, size: Size) -> int | None:
        """The pixel edge (0 to side, both included) nearest to a written box edge; None if outside the picture."""
        index = 1 if along == "x" else 0
        value -= self.offset[1 - index]
        limit = self.scale if self.scale is not None else shown[index]
        if not 0 <= value <= limit:
            return None
        return round(value * size[index] / limit)

    def pixel_to_edge(self, edge: int, along: Literal["x", "y"], shown: Size, size: Size) -> float:
        """The number to write for a pixel edge of the original picture."""
        index = 1 if along == "x" else 0
        limit = self.scale if self.scale is not None else shown[index]
        steps = 10.0**self.decimals
        value = round(edge * limit / size[index] * steps) / steps
        if self.scale is not None and not self.closed:
            value = min(value, self.scale - 1 / steps)
        return value + self.offset[1 - index]

    def number(self, value: float) -> str:
        """``value`` in this space's number style."""
        return f"{value:.{self.decimals}f}"

    def pair(self, x: float, y: float) -> tuple[float, float]:
        """Two numbers in the order in which they are written."""
        return (x, y) if self.axes == "xy" else (y, x)

    def describe(self, shown: Size) -> str:
        """One sentence for a prompt that says how a point is to be written."""
        order = "x (rightwards), then y (downwards)" if self.axes == "xy" else "y (downwards), then x (rightwards)"
        if self.scale is None:
            return f"{order}, in pixels of this picture of {shown[1]} x {shown[0]} (width x height)"
        if self.scale == 100:
            return f"{order}, each in percent of the picture's side, from 0 to 100"
        style = "a whole number" if self.decimals == 0 else f"a number with {self.decimals} decimals"
        return f"{order}, each {style} from 0 to {self.scale:g}, where {self.scale:g} is the picture's far side"

    def _pixel(self, value: float, shown: int, length: int) -> int | None:
        limit = self.scale if self.scale is not None else shown
        if not (0 <= value < limit or (self.closed and value == limit)):
            return None
        if self.nearest and self.scale is not None:
            return min(round(value / self.scale * length), length - 1)
        position = (math.floor(value) + 0.5) * length / shown if self.scale is None else value * length / self.scale
        return min(math.floor(position), length - 1)

    def _written(self, pixel: int, shown: int, length: int) -> float:
        if self.scale is None:
            return float(math.floor((pixel + 0.5) * shown / length))
        steps = 10.0**self.decimals
        last = self.scale if self.closed else self.scale - 1 / steps
        if self.nearest:
            return min(round(pixel * self.scale / length * steps) / steps, last)
        return min(math.ceil((pixel + 0.5) * self.scale / length * steps - 0.5) / steps, last)
