"""Two masks of one object, before and after, as panels zoomed to the object.

Blue is before, orange is after, in every panel: two colours that look different to every kind of colour blindness
(Okabe and Ito). In the panel of the change, pixels that went away are blue, pixels that came are orange, what both
masks cover is left as it is, and both outlines are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from segagent.core import BoolMask, Box, Click, Pixels, Prompt
from segagent.imaging.drawing import draw_overlay
from segagent.imaging.marks import WHITE, Color, draw_box, draw_click
from segagent.imaging.scaling import outline, scaled_mask, scaled_pixels

BEFORE: Color = (0, 114, 178)
AFTER: Color = (230, 159, 0)

_CONTEXT = 0.35
_LEAST_CONTEXT = 12
_MAX_ENLARGED = 6.0


@dataclass(frozen=True, slots=True)
class Window:
    """A part of an image in pixels, ``right`` and ``bottom`` exclusive."""

    left: int
    top: int
    right: int
    bottom: int


def object_window(masks: Sequence[BoolMask], prompts: Sequence[Prompt] = ()) -> Window:
    """What to show of an image: all of ``masks`` (at least one) and ``prompts``, with context around them.

    The whole image where they are empty.
    """
    height, width = masks[0].shape
    columns = [np.flatnonzero(mask.any(axis=0)) for mask in masks]
    rows = [np.flatnonzero(mask.any(axis=1)) for mask in masks]
    xs = [int(end) for found in columns if found.size for end in (found[0], found[-1] + 1)]
    ys = [int(end) for found in rows if found.size for end in (found[0], found[-1] + 1)]
    for prompt in prompts:
        match prompt:
            case Click(x, y):
                xs += [x, x + 1]
                ys += [y, y + 1]
            case Box(x0, y0, x1, y1):
                xs += [x0, x1]
                ys += [y0, y1]
    if not xs:
        return Window(0, 0, width, height)
    context = max(_LEAST_CONTEXT, round(_CONTEXT * max(max(xs) - min(xs), max(ys) - min(ys))))
    return Window(
        max(min(xs) - context, 0),
        max(min(ys) - context, 0),
        min(max(xs) + context, width),
        min(max(ys) + context, height),
    )


def draw_window(pixels: Pixels, window: Window, longest: int) -> Pixels:
    """The whole picture, at most ``longest`` pixels long, with ``window`` framed."""
    scale = min(longest / max(pixels.shape[:2]), 1.0)
    canvas = PillowImage.fromarray(scaled_pixels(pixels, scale))
    left, top, right, bottom = (n * scale for n in (window.left, window.top, window.right, window.bottom))
    draw_box(ImageDraw.Draw(canvas), (left + 1, top + 1, right - 2, bottom - 2))
    return np.asarray(canvas).copy()


def draw_mask(
    pixels: Pixels, window: Window, mask: BoolMask, longest: int, color: Color, prompts: Sequence[Prompt] = ()
) -> Pixels:
    """``window`` enlarged or reduced to ``longest`` pixels, ``mask`` as a layer of ``color``, ``prompts`` on it."""
    picture, scale = _part(pixels, window, longest)
    small = _part_of(mask, window, picture)
    drawn = _outlined(draw_overlay(picture, small, color, 0.35), small, color)
    return _with_prompts(drawn, window, scale, prompts)


def draw_change(pixels: Pixels, window: Window, before: BoolMask, after: BoolMask, longest: int) -> Pixels:
    """``window`` with what went away from ``before`` in blue, what came with ``after`` in orange, and both outlines."""
    picture, _ = _part(pixels, window, longest)
    old, new = _part_of(before, window, picture), _part_of(after, window, picture)
    drawn = draw_overlay(draw_overlay(picture, old & ~new, BEFORE, 0.7), new & ~old, AFTER, 0.7)
    return _outlined(_outlined(drawn, old, BEFORE), new, AFTER)


def _part(pixels: Pixels, window: Window, longest: int) -> tuple[Pixels, float]:
    """The pixels of ``window`` and how much they are enlarged."""
    part = np.ascontiguousarray(pixels[window.top : window.bottom, window.left : window.right])
    scale = min(longest / max(part.shape[:2]), _MAX_ENLARGED)
    return scaled_pixels(part, scale), scale


def _part_of(mask: BoolMask, window: Window, picture: Pixels) -> BoolMask:
    return scaled_mask(mask[window.top : window.bottom, window.left : window.right], *picture.shape[:2])


def _outlined(picture: Pixels, mask: BoolMask, color: Color) -> Pixels:
    """A line of ``color`` inside the edge of ``mask`` and a thin white one inside that, to show on any ground."""
    picture[outline(mask, 3)] = WHITE
    picture[outline(mask, 2)] = color
    return picture


def _with_prompts(picture: Pixels, window: Window, scale: float, prompts: Sequence[Prompt]) -> Pixels:
    canvas = PillowImage.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    for prompt in prompts:
        match prompt:
            case Box(x0, y0, x1, y1):
                left, top = (x0 - window.left) * scale, (y0 - window.top) * scale
                draw_box(draw, (left, top, (x1 - window.left) * scale - 1, (y1 - window.top) * scale - 1))
            case Click(x, y, positive):
                center = (x - window.left + 0.5) * scale, (y - window.top + 0.5) * scale
                draw_click(canvas, center, positive=positive)
    return np.asarray(canvas).copy()
