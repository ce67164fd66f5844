"""What the published SegAgent project reads in the replies of a prediction file: the predicted IoU.

Its evaluation wants ``Current IOU: 0.87, Positive point: ...``: this spelling, a fraction, then a comma (or the letter
that an action begins with). Where a single reply of an episode has none, it uses no IoU of that episode at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from segagent.core import InputError
from segagent.datasets.listed import told

_IOU = re.compile(r"Current\s+m?IOU\s*:\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_SAID = re.compile(_IOU.pattern + r"\s*%?\s*[.,;]?\s*", re.IGNORECASE)


def read_predicted_iou(outputs: Any, where: str) -> float | None:
    """The IoU that a reply names, in [0, 1]; above 1 it is percent. Other spellings (mIoU, IoU) are read too.

    Raises ``InputError`` that begins with ``where`` for what is no text.
    """
    if outputs is None:
        return None
    if not isinstance(outputs, str):
        raise InputError(f"{where}: 'outputs' must be text, got {told(outputs)}")
    match = _IOU.search(outputs[:10_000])
    if match is None:
        return None
    value = float(match.group(1))
    return min(value if value <= 1 else value / 100, 1.0)


def with_predicted_iou(text: str, predicted_iou: float | None) -> str:
    """A reply as the published evaluation reads it: ``predicted_iou`` in front, in place of the reply's own wording."""
    if predicted_iou is None:
        return text
    return f"Current IOU: {predicted_iou:.12f}, {_SAID.sub('', text)}"


def entry_taken(outputs: Sequence[str | None], scores: Sequence[float | None]) -> int:
    """Index of the entry whose mask the published evaluation takes; 0 without entries.

    The one before the entry with the largest of ``scores`` (the first of equals), or the first one if that is it. A
    missing reply counts as 0; a reply that names no IoU makes it the first entry.
    """
    unread = any(score is None and reply is not None for reply, score in zip(outputs, scores, strict=True))
    if unread or not scores:
        return 0
    return max(0, int(np.argmax([score or 0.0 for score in scores])) - 1)
