"""``steps.png``: a whole episode on one picture that a person can follow.

One panel per state: the start, then the state after each step, with the mask as a green layer with a white outline,
the newest click as a green plus or red minus, earlier clicks still in force as dots, and a caption that tells the
action and the predicted IoU. The returned state is framed. Above them stand the sentence and why the episode stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from segagent.core import (
    Action,
    BoolMask,
    Box,
    Click,
    Finish,
    Image,
    InvalidAction,
    Pixels,
    Prompt,
    Trajectory,
    Undo,
)
from segagent.imaging.drawing import draw_overlay
from segagent.imaging.lettering import font_for, printable, shortened, wrapped
from segagent.imaging.marks import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    RED,
    WHITE,
    Color,
    draw_box,
    draw_click,
    draw_dot,
    draw_pill,
)
from segagent.imaging.scaling import outline, scaled_mask, scaled_pixels

_HAIRLINE = (200, 200, 205)
_MARGIN = 20
_GAP = 16
_FRAME = 4
_CAPTION = 54
_CAPTION_SIZE = 15
_MIN_CELL = 290
_MIN_WIDTH = 2 * _MIN_CELL + _GAP

_STOP_REASONS = {
    "max_steps": "all steps were used",
    "finish": "the policy said it is finished",
    "confident": "the predicted IoU is high enough",
    "kept": "the given mask scores well enough",
    "converged": "the last steps brought no better mask",
    "max_seconds": "the time was used up",
    "max_policy_calls": "the policy calls were used up",
    "max_money": "the money for this object was used up",
}
_START_KINDS = {"empty": "empty mask", "mask": "given mask", "box": "from a box", "random": "from random clicks"}


def why_stopped(trajectory: Trajectory) -> str:
    """In words, why the search stopped; a policy that finishes before it has put anything says there is no object."""
    if trajectory.stopped == "finish" and _found_none(
        trajectory.mask_at(trajectory.returned), trajectory.prompts_at(trajectory.returned)
    ):
        return "the policy says that there is no such object in the picture"
    return _STOP_REASONS.get(trajectory.stopped, printable(trajectory.stopped))


def _found_none(mask: BoolMask, prompts: Sequence[Prompt]) -> bool:
    return not prompts and not mask.any()


@dataclass(frozen=True)
class _Panel:
    """One state: its mask, what led to it (None: the start), prompts in force before, and whether it counted."""

    index: int
    mask: BoolMask
    action: Action | None
    earlier: tuple[Prompt, ...]
    valid: bool
    parent: int = 0


def film_strip(image: Image, trajectory: Trajectory) -> Pixels:
    """The episode as one picture, uint8 RGB (height, width, 3), whatever the image's size.

    Panels are at most 320 pixels long (220 when there are more than 24), tiny images are enlarged; rows wrap. Raises
    ``ValueError`` if the trajectory is about an image of another size.
    """
    if (trajectory.height, trajectory.width) != (image.height, image.width):
        raise ValueError(
            f"the trajectory is about {trajectory.width} x {trajectory.height} pixels, "
            f"the image has {image.width} x {image.height}"
        )
    panels = _panels(trajectory)
    scale = (320 if len(panels) <= 24 else 220) / max(image.height, image.width)
    picture = scaled_pixels(image.pixels, scale)
    shown_height, shown_width = picture.shape[:2]
    num_rows, num_columns = _grid(len(panels))
    cell_width = max(shown_width, _MIN_CELL)
    cell_height = shown_height + _CAPTION
    width = max(num_columns * cell_width + (num_columns - 1) * _GAP, _MIN_WIDTH)
    header = _header(trajectory, width)
    header_height = sum(size + 8 for _, size, _ in header) + _GAP
    canvas = PillowImage.new(
        "RGB",
        (width + 2 * _MARGIN, header_height + num_rows * (cell_height + _GAP) - _GAP + 2 * _MARGIN),
        WHITE,
    )
    draw = ImageDraw.Draw(canvas)
    y = _MARGIN
    for text, size, color in header:
        draw.text((_MARGIN, y), text, fill=color, font=font_for(text, size))
        y += size + 8
    for position, panel in enumerate(panels):
        row, column = divmod(position, num_columns)
        left = _MARGIN + column * (cell_width + _GAP) + (cell_width - shown_width) // 2
        top = _MARGIN + header_height + row * (cell_height + _GAP)
        canvas.paste(PillowImage.fromarray(_with_mask(picture, panel.mask)), (left, top))
        area = (left, top, left + shown_width, top + shown_height)
        _mark(canvas, panel, scale, area, returned=panel.index == trajectory.returned)
        corner = _MARGIN + column * (cell_width + _GAP), top + shown_height + _FRAME + 5
        _caption(draw, panel, trajectory, corner, cell_width)
    return np.asarray(canvas).copy()


def _panels(trajectory: Trajectory) -> list[_Panel]:
    """All states with the prompts in force before each; after an undo, those that are left."""
    panels = [_Panel(0, trajectory.mask_at(0), None, trajectory.start.prompts, True)]
    for index, step in enumerate(trajectory.steps, 1):
        undone = isinstance(step.action, Undo) and step.invalid is None
        earlier = tuple(trajectory.prompts_at(index if undone else step.parent))
        valid = step.invalid is None
        panels.append(_Panel(index, trajectory.mask_at(index), step.action, earlier, valid, step.parent))
    return panels


def _grid(num_panels: int) -> tuple[int, int]:
    """(rows, columns), rows as even as possible: at most 4 columns, more when there are many panels."""
    most = 4 if num_panels <= 24 else 8
    rows = math.ceil(num_panels / most)
    return rows, math.ceil(num_panels / rows)


def _header(trajectory: Trajectory, width: int) -> list[tuple[str, int, Color]]:
    """Lines of (text, size, colour): the sentence, then how the episode went."""
    title = f"“{printable(trajectory.text)}”"
    lines = [(line, 24, INK) for line in wrapped(title, font_for(title, 24), width, max_lines=3)]
    score = trajectory.predicted_iou_at(trajectory.returned)
    returned = "the start" if trajectory.returned == 0 else f"step {trajectory.returned}"
    outcome = (
        f"{_counted(len(trajectory.steps), 'step')}; stopped because "
        f"{why_stopped(trajectory)}; returned {returned}"
        + ("" if score is None else f" with predicted IoU {score:.2f}")
    )
    origin = f"policy {printable(trajectory.policy)}, tool {printable(trajectory.tool)}, seed {trajectory.seed}"
    for text, color in ((outcome, INK), (origin, GREY)):
        lines += [(line, 15, color) for line in wrapped(text, font_for(text, 15), width, max_lines=2)]
    return lines


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _with_mask(picture: Pixels, mask: BoolMask) -> Pixels:
    """A panel: the overlay that the policy sees, plus a white outline for the human eye."""
    small = scaled_mask(mask, *picture.shape[:2])
    drawn = draw_overlay(picture, small)
    drawn[outline(small)] = WHITE
    return drawn


def _mark(
    canvas: PillowImage.Image, panel: _Panel, scale: float, area: tuple[int, int, int, int], *, returned: bool
) -> None:
    """Frame, box and clicks of a panel whose picture fills ``area`` (left, top, right, bottom)."""
    left, top, right, bottom = area

    def place(click: Click) -> tuple[float, float]:
        return left + (click.x + 0.5) * scale, top + (click.y + 0.5) * scale

    draw = ImageDraw.Draw(canvas)
    if returned or not panel.valid:
        outer = (left - _FRAME, top - _FRAME, right + _FRAME - 1, bottom + _FRAME - 1)
        draw.rectangle(outer, outline=BLUE if returned else AMBER, width=_FRAME)
    else:
        draw.rectangle((left - 1, top - 1, right, bottom), outline=_HAIRLINE)
    for prompt in panel.earlier:
        if isinstance(prompt, Click):
            draw_dot(canvas, place(prompt), positive=prompt.positive)
    match panel.action:
        case Box(x0, y0, x1, y1) if panel.valid:
            draw_box(draw, (left + x0 * scale, top + y0 * scale, left + x1 * scale - 1, top + y1 * scale - 1))
        case Click() as click if panel.valid:
            draw_click(canvas, place(click), positive=click.positive)


def _caption(
    draw: ImageDraw.ImageDraw, panel: _Panel, trajectory: Trajectory, corner: tuple[int, int], width: int
) -> None:
    """Two lines from ``corner`` (left, top) on: what was done, and how good the policy thinks the mask is."""
    left, top = corner
    name = f"step {panel.index}" if panel.index else "start"
    if panel.index and panel.parent != panel.index - 1:
        name += f", from {f'step {panel.parent}' if panel.parent else 'the start'}"
    words, color = _told(panel, trajectory)
    name_font = font_for(name, _CAPTION_SIZE)
    draw.text((left, top), name, fill=INK, font=name_font)
    offset = round(name_font.getlength(name)) + 12
    words_font = font_for(words, _CAPTION_SIZE)
    draw.text((left + offset, top), shortened(words, words_font, width - offset), fill=color, font=words_font)
    predicted, true = trajectory.predicted_iou_at(panel.index), trajectory.reward_at(panel.index)
    scores = [] if predicted is None else [f"predicted IoU {predicted:.2f}"]
    scores += [] if true is None else [f"true {true:.2f}"]
    line = "   ".join(scores) or "no predicted IoU"
    draw.text((left, top + 22), line, fill=INK if scores else GREY, font=font_for(line, _CAPTION_SIZE))
    if panel.index == trajectory.returned:
        draw_pill(draw, (left + width, top + 20), "returned", BLUE)


def _told(panel: _Panel, trajectory: Trajectory) -> tuple[str, Color]:
    """What was done, in words, and the colour to say it in."""
    match panel.action:
        case None:
            return _START_KINDS.get(trajectory.start.kind, printable(trajectory.start.kind)), GREY
        case Click(x, y, positive):
            sign = "+" if positive else "-"
            if not panel.valid:
                return f"invalid: {sign} ({x}, {y}) is outside", AMBER
            return f"{sign} ({x}, {y})", GREEN if positive else RED
        case Box(x0, y0, x1, y1):
            words = f"box ({x0}, {y0}) to ({x1}, {y1})"
            return (words, BLUE) if panel.valid else (f"invalid: {words} is outside", AMBER)
        case Undo():
            return ("undo", INK) if panel.valid else ("invalid: nothing to undo", AMBER)
        case Finish():
            return "no such object" if _found_none(panel.mask, panel.earlier) else "finished", INK
        case InvalidAction(text, reason):
            said = printable(text)
            return f"invalid: “{said}”" if said else f"invalid: {printable(reason) or 'empty reply'}", AMBER
