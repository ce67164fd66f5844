"""A mask before and after as pictures for a page; work lists and diffs show objects the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from segagent.core import BoolMask, Pixels, Prompt, empty_mask
from segagent.imaging.change import AFTER, BEFORE, draw_change, draw_mask, draw_window, object_window
from segagent.pages.elements import data_uri
from segagent.pages.pictures import jpeg_within

PICTURE_BYTES = 20_000_000
"""What all pictures of a page may take together as JPEG files; a third more in the page, where they are text."""

PANEL_STYLE = """
.card { border: 1px solid var(--line); border-radius: 6px; padding: .6rem .9rem; margin: .7rem 0; }
.card:focus { outline: 3px solid var(--focus); }
.card h3 { margin: 0; font-size: 1.02rem; overflow-wrap: anywhere; } .card p { margin: .15rem 0; }
.card .ids { color: var(--quiet); font-size: .88rem; overflow-wrap: anywhere; }
.card .label { font-weight: 600; } .card .bad { color: var(--bad); overflow-wrap: anywhere; }
.panels { display: flex; flex-wrap: wrap; gap: .6rem; align-items: flex-start; }
.panels figure { margin: .3rem 0 0; padding: 0; border: 0; } .panels img { display: block; max-width: 100%; }
.panels figcaption { font-size: .85rem; color: var(--quiet); }
.before { color: var(--given); font-weight: 600; } .after { color: var(--answer); font-weight: 600; }
"""

_PANEL_SIDE = 300
_WHOLE_SIDE = 200
_MOST_PER_OBJECT = 150_000
_FEWEST_PER_PANEL = 2_000


@dataclass(frozen=True, slots=True)
class Sketch:
    """One picture, uint8 RGB, and what it shows in words."""

    caption: str
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture, a JPEG file, and what it shows in words."""

    caption: str
    jpeg: bytes


def sketch(
    pixels: Pixels,
    before: tuple[str, BoolMask] | None,
    after: tuple[str, BoolMask] | None,
    prompts: Sequence[Prompt] = (),
    *,
    side: int = _PANEL_SIDE,
) -> list[Sketch]:
    """The whole image, each of two masks (caption, mask) zoomed in on, and their difference where there are two.

    ``prompts`` are drawn on the mask after. Panels are ``side`` pixels long, where that needs no wild enlargement.
    """
    masks = [one[1] for one in (before, after) if one is not None]
    window = object_window(masks or [empty_mask(*pixels.shape[:2])], prompts)
    sketches = [Sketch("the image", draw_window(pixels, window, _WHOLE_SIDE))]
    if before is not None:
        sketches.append(Sketch(before[0], draw_mask(pixels, window, before[1], side, BEFORE)))
    if after is not None:
        sketches.append(Sketch(after[0], draw_mask(pixels, window, after[1], side, AFTER, prompts)))
    if before is not None and after is not None:
        sketches.append(Sketch("blue: away, orange: new", draw_change(pixels, window, before[1], after[1], side)))
    return sketches


def as_panels(sketches: Sequence[Sketch], num_objects: int) -> tuple[Panel, ...]:
    """JPEG files so small that the pictures of ``num_objects`` objects stay within :data:`PICTURE_BYTES`."""
    most = min(PICTURE_BYTES // max(num_objects, 1), _MOST_PER_OBJECT)
    each = max(most // max(len(sketches), 1), _FEWEST_PER_PANEL)
    return tuple(Panel(one.caption, jpeg_within(one.pixels, each)) for one in sketches)


def panels_element(panels: Sequence[Panel]) -> str:
    """The pictures side by side; "" for none."""
    if not panels:
        return ""
    parts = ['<div class="panels">']
    for panel in panels:
        caption = escape(panel.caption)
        parts.append(f'<figure><img loading="lazy" alt="{caption}" src="{data_uri(panel.jpeg)}">')
        parts.append(f"<figcaption>{caption}</figcaption></figure>")
    return "".join(parts) + "</div>"
