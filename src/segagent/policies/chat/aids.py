"""Drawn aids for models that were never taught to click: a labelled grid, and lettering."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segagent.core import Pixels

_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


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
            put_label(result, across, (x + 3, round(22 * scale) + 2), scale)
            put_label(result, down, (3, y - 3), scale)
    return result


def put_label(pixels: Pixels, text: str, corner: tuple[int, int], scale: float) -> None:
    """Write ``text`` into ``pixels``, white with a black rim, its left bottom ``corner`` at (x, y)."""
    for color, thickness in ((_BLACK, 3), (_WHITE, 1)):
        cv2.putText(pixels, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
