"""What a model that was never taught to click is shown of its earlier attempts: numbers, thumbnails, words.

The present mask is the first picture of a question, with the earlier actions numbered in it; a sheet of thumbnails, the
masks before, is the second where the budget of pictures allows one. Knows no coordinate space: the words get their
points from the chat format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from segagent.core import Attempt, BoolMask, Box, Click, Finish, InvalidAction, Pixels, Undo
from segagent.imaging import draw_overlay
from segagent.policies.chat.aids import put_label
from segagent.policies.chat.resizing import resized
from segagent.policies.chat.space import Size

_THUMBNAIL = 224
"""The longer side of one, in pixels."""
_COLUMNS = 4
_CAPTION = 22
_GREY = 127
_CUT_OUT = 512
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)

Numbered = tuple[int, Attempt]
"""An attempt and its number in the episode, from 1."""


def recalled(past: Sequence[Attempt], most: int) -> list[Numbered]:
    """The last ``most`` attempts, oldest first."""
    return list(enumerate(past, 1))[max(0, len(past) - most) :]


def draw_numbers(pixels: Pixels, attempts: Sequence[Numbered], size: Size) -> Pixels:
    """A copy of ``pixels`` (h, w, 3), a picture of an original of ``size``, with rings and boxes where clicks and boxes
    were, each with its number and sign.

    The middle of a ring is left free: what was clicked can be seen.
    """
    result = np.array(pixels)
    height, width = result.shape[:2]
    scale = max(0.4, min(height, width) / 1000)
    radius = max(3, round(10 * scale))
    for number, attempt in attempts:
        match attempt.action:
            case Click(x, y, positive):
                at = round((x + 0.5) * width / size[1] - 0.5), round((y + 0.5) * height / size[0] - 0.5)
                for color, thickness in ((_BLACK, 3), (_WHITE, 1)):
                    cv2.circle(result, at, radius, color, thickness, cv2.LINE_AA)
                label = f"{number}{'+' if positive else '-'}"
                right = at[0] + radius + 3 + 26 * scale * len(label) < width
                left = at[0] + radius + 3 if right else at[0] - radius - 3 - round(20 * scale * len(label))
                put_label(
                    result, label, (left, min(height - 3, max(round(24 * scale), at[1] + round(8 * scale)))), scale
                )
            case Box(x0, y0, x1, y1):
                corner, other = (
                    (round(x * (width - 1) / size[1]), round(y * (height - 1) / size[0]))
                    for x, y in ((x0, y0), (x1, y1))
                )
                for color, thickness in ((_BLACK, 3), (_WHITE, 1)):
                    cv2.rectangle(result, corner, other, color, thickness)
                put_label(result, str(number), (corner[0] + 4, corner[1] + round(26 * scale) + 2), scale)
    return result


def thumbnails(pixels: Pixels, attempts: Sequence[Numbered], color: tuple[int, int, int]) -> Pixels | None:
    """A sheet of the masks that the ``attempts`` were made on, oldest first, each with the number of the attempt that
    had led to it and the IoU that was said of it. None where there was none but the empty one.

    ``pixels``: the original picture, uint8 (height, width, 3). At most four in a row, a black line between them.
    """
    shown = [(number - 1, one) for number, one in attempts if one.mask.any()]
    if not shown:
        return None
    scale = _THUMBNAIL / max(pixels.shape[:2])
    size = max(1, round(pixels.shape[0] * scale)), max(1, round(pixels.shape[1] * scale))
    width = max(size[1], 150)
    panels = []
    for after, attempt in shown:
        panel = np.zeros((size[0] + _CAPTION + 1, width + 1, 3), np.uint8)
        left = (width - size[1]) // 2
        panel[_CAPTION:-1, left : left + size[1]] = resized(draw_overlay(pixels, attempt.mask, color), size)
        said = "" if attempt.predicted_iou is None else f", IoU {attempt.predicted_iou:.2f}"
        put_label(panel, f"{f'after {after}' if after else 'start'}{said}", (4, _CAPTION - 6), 0.55)
        panels.append(panel)
    columns = min(_COLUMNS, len(panels))
    panels += [np.zeros_like(panels[0])] * (-len(panels) % columns)
    rows = [np.concatenate(panels[first : first + columns], axis=1) for first in range(0, len(panels), columns)]
    return np.concatenate(rows, axis=0)


def cut_out(pixels: Pixels, mask: BoolMask) -> Pixels | None:
    """What lies under ``mask``, all else grey, cut to its neighbourhood; None where the mask is empty."""
    if not mask.any():
        return None
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    margin = 2 + max(rows[-1] - rows[0], columns[-1] - columns[0]) // 10
    part = np.s_[
        max(0, rows[0] - margin) : rows[-1] + margin + 1, max(0, columns[0] - margin) : columns[-1] + margin + 1
    ]
    seen = np.where(mask[part][..., None], pixels[part], np.uint8(_GREY))
    scale = min(1.0, _CUT_OUT / max(seen.shape[:2]))
    return resized(seen, (max(1, round(seen.shape[0] * scale)), max(1, round(seen.shape[1] * scale))))


def words_for(
    attempts: Sequence[Numbered], mask: BoolMask, write: Callable[[Click | Box], str], score: Callable[[float], str]
) -> str:
    """The ``attempts`` in one sentence each: what, where, the IoU said before, whether the mask changed.

    ``mask`` is the present one; ``write`` a point or box, ``score`` an IoU as the model writes them.
    """
    told = []
    later = [one.mask for _, one in attempts[1:]] + [mask]
    for (number, one), after in zip(attempts, later, strict=True):
        match one.action:
            case Click(_, _, positive):
                words = f"{'positive' if positive else 'negative'} at {write(one.action)}"
            case Box():
                words = f"box {write(one.action)}"
            case Undo():
                words = "undo"
            case Finish():
                words = "finish"
            case InvalidAction(_, reason):
                words = f"no usable answer ({reason.partition(':')[0]})"
        if one.invalid is not None and not isinstance(one.action, InvalidAction):
            words += ", which could not be carried out"
        elif not isinstance(one.action, InvalidAction | Finish):
            words += ", which changed nothing" if np.array_equal(one.mask, after) else ""
        said = "" if one.predicted_iou is None else f" (iou before it: {score(one.predicted_iou)})"
        told.append(f"{number}. {words}{said}")
    return "; ".join(told)


def is_repeated(click: Click, past: Sequence[Attempt], size: Size) -> int | None:
    """The number, from 1, of the earlier click that ``click`` says over again; None where it is a new one.

    The same sign at the same place, up to half a percent of the picture's longer side: a model's numbers waver.
    """
    reach = max(1.0, 0.005 * max(size))
    for number, one in enumerate(past, 1):
        earlier = one.action
        if isinstance(earlier, Click) and earlier.positive == click.positive and one.invalid is None:
            near = (earlier.x - click.x) ** 2 + (earlier.y - click.y) ** 2 <= reach**2
            if near:
                return number
    return None
