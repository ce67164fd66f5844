"""Optional drawn aids for models that were never taught to click: a labelled grid, earlier clicks with numbers."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segagent.core import Click, Pixels, Prompt

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_GREEN, _RED = (21, 128, 61), (220, 38, 38)


def draw_grid(pixels: Pixels, labels: Sequence[tuple[str, str]]) -> Pixels:
    """A copy of ``pixels`` (height, width, 3) with ``len(labels) - 1`` equal cells per side.

    ``labels[i]`` are the words at the i-th vertical and horizontal line: the line's coordinate as the model writes it.
    """
    result = np.array(pixels)
    height, width = result.shape[:2]
    cells = len(labels) - 1
    scale = max(0.35, min(height, width) / 1600)
    for index, (across, down) in enumerate(labels):
        x = min(width - 1, round(index * width / cells))
        y = min(height - 1, round(index * height / cells))
        if 0 < index < cells:
            for color, thickness in ((_BLACK, 1), (_WHITE, 1)):
                shift = 0 if color is _BLACK else 1
                cv2.line(result, (x + shift, 0), (x + shift, height - 1), color, thickness)
                cv2.line(result, (0, y + shift), (width - 1, y + shift), color, thickness)
            _label(result, across, (x + 3, round(22 * scale) + 2), scale)
            _label(result, down, (3, y - 3), scale)
    return result


def draw_clicks(pixels: Pixels, prompts: Sequence[Prompt], ratio: tuple[float, float]) -> Pixels:
    """A copy of ``pixels`` with each earlier click as a numbered disc, green positive and red negative.

    ``ratio`` is the (down, across) scale from original pixels to these. Boxes among ``prompts`` are counted, not drawn.
    """
    result = np.array(pixels)
    radius = max(4, round(min(result.shape[:2]) / 60))
    for number, prompt in enumerate(prompts, 1):
        if not isinstance(prompt, Click):
            continue
        center = round((prompt.x + 0.5) * ratio[1]), round((prompt.y + 0.5) * ratio[0])
        cv2.circle(result, center, radius + 1, _WHITE, -1, cv2.LINE_AA)
        cv2.circle(result, center, radius, _GREEN if prompt.positive else _RED, -1, cv2.LINE_AA)
        _label(result, str(number), (center[0] + radius + 2, center[1] + radius), max(0.35, radius / 14))
    return result


def _label(pixels: Pixels, text: str, corner: tuple[int, int], scale: float) -> None:
    for color, thickness in ((_BLACK, 3), (_WHITE, 1)):
        cv2.putText(pixels, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
