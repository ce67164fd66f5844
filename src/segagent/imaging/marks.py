"""Marks on panels: clicks with their sign, dots for earlier clicks, boxes, pills. Smooth-edged, for any ground."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image as PillowImage
from PIL import ImageDraw

from segagent.imaging.lettering import font_for

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
INK: Color = (24, 24, 27)
GREY: Color = (113, 113, 122)
GREEN: Color = (21, 128, 61)
RED: Color = (220, 38, 38)
AMBER: Color = (180, 83, 9)
BLUE: Color = (37, 99, 235)

_FINER = 4


def draw_click(canvas: PillowImage.Image, center: tuple[float, float], *, positive: bool) -> None:
    """A plus (green) or minus (red) on a white disc ringed in its colour, centred on ``center`` (x, y)."""
    _paste(canvas, _click_stamp(positive), center)


def draw_dot(canvas: PillowImage.Image, center: tuple[float, float], *, positive: bool) -> None:
    """A small dot with a white rim: a click made earlier and still in force."""
    _paste(canvas, _dot_stamp(positive), center)


def draw_box(draw: ImageDraw.ImageDraw, corners: tuple[float, float, float, float]) -> None:
    """A blue rectangle with a white rim; ``corners`` is (left, top, right, bottom)."""
    left, top, right, bottom = corners
    right, bottom = max(right, left), max(bottom, top)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=WHITE, width=4)
    draw.rectangle((left, top, right, bottom), outline=BLUE, width=2)


def draw_pill(draw: ImageDraw.ImageDraw, right_top: tuple[int, int], text: str, color: Color) -> int:
    """White words on a rounded ground, its right top corner at ``right_top``; gives its width in pixels."""
    font = font_for(text, 14)
    width = round(font.getlength(text)) + 16
    right, top = right_top
    draw.rounded_rectangle((right - width, top, right - 1, top + 20), radius=10, fill=color)
    draw.text((right - width / 2, top + 10), text, fill=WHITE, font=font, anchor="mm")
    return width


def _paste(canvas: PillowImage.Image, stamp: PillowImage.Image, center: tuple[float, float]) -> None:
    corner = round(center[0] - stamp.width / 2), round(center[1] - stamp.height / 2)
    canvas.paste(stamp, corner, stamp)


@lru_cache(maxsize=2)
def _click_stamp(positive: bool) -> PillowImage.Image:
    color = GREEN if positive else RED
    size = 25
    stamp = PillowImage.new("RGBA", (size * _FINER, size * _FINER), (*WHITE, 0))
    draw = ImageDraw.Draw(stamp)

    def disc(radius: float, fill: Color) -> None:
        middle = size * _FINER / 2
        reach = radius * _FINER
        draw.ellipse((middle - reach, middle - reach, middle + reach - 1, middle + reach - 1), fill=(*fill, 255))

    def bar(reach_x: float, reach_y: float) -> None:
        middle = size * _FINER / 2
        x, y = reach_x * _FINER, reach_y * _FINER
        draw.rectangle((middle - x, middle - y, middle + x - 1, middle + y - 1), fill=(*WHITE, 255))

    disc(12, WHITE)
    disc(10, color)
    bar(6, 1.75)
    if positive:
        bar(1.75, 6)
    return stamp.resize((size, size), PillowImage.Resampling.BOX)


@lru_cache(maxsize=2)
def _dot_stamp(positive: bool) -> PillowImage.Image:
    size = 11
    stamp = PillowImage.new("RGBA", (size * _FINER, size * _FINER), (*WHITE, 0))
    draw = ImageDraw.Draw(stamp)
    edge = size * _FINER - 1
    rim = 2 * _FINER
    draw.ellipse((0, 0, edge, edge), fill=(*WHITE, 255))
    draw.ellipse((rim, rim, edge - rim, edge - rim), fill=(*(GREEN if positive else RED), 255))
    return stamp.resize((size, size), PillowImage.Resampling.BOX)
