"""What is likely to be wrong with a mask, read off a record: what the policy would click, and what came of it.

Nothing is asked of any model, so a better rule speaks of runs made before it too. Thresholds were chosen on spoiled val
scenes, see docs/repair.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from segagent.annotation.batch.records import ObjectRecord, SeenOutline
from segagent.core import BoolMask, Click, Finish, Step, decode_rle

ErrorLabel: TypeAlias = Literal[
    "wrong object", "missing part", "spill", "rough edge", "ok", "cannot tell", "not looked at", "unknown"
]

ERROR_LABELS: tuple[ErrorLabel, ...] = get_args(ErrorLabel)
"""The last three say nothing about the mask, and why: the policy has doubts or made no valid click, no next click was
asked for, no IoU is predicted."""

OK_FROM = 0.9
"""Masks whose calibrated IoU is at least this are taken to be right."""
WRONG_BELOW = 0.36
"""Below this predicted IoU hardly anything of a mask is the object that is meant. Not the calibrated one: that is
fitted to the policy's own masks, which the tool draws around something even where the policy scores them low."""
FINE_FROM = 0.6
"""Masks of at least this calibrated IoU are taken to be right where the policy's click would not better them."""
BOTH_WAYS = 0.04
"""Where a click takes away and adds more than this share of the mask, it is the outline that is wrong."""
BAD_OUTLINE = 0.7
"""Below this expected IoU, judged without words, an outline is bad whatever it should be of."""
UNEVEN = 0.4
"""A bad outline of which nearly as much is missing as too much is rough; else what there is more of names it."""
HALF = 0.5
"""Where it takes away or adds more than this, it is more than the outline."""


@dataclass(frozen=True, slots=True)
class LikelyError:
    """``reason`` says in a clause what the label was read off."""

    label: ErrorLabel
    reason: str


def likely_error(record: ObjectRecord, calibrated: float | None) -> LikelyError:
    """What is likely to be wrong with the mask that ``record`` was given, or with the answer where none was given.

    ``calibrated``: the expected IoU of that mask (``run.calibrated(record.given_iou, record.doubts)``; for ``annotate``
    that of ``record.predicted_iou``); None where none is predicted. The label needs evidence: without any it says so.
    """
    judged = _judged(record)
    mask = record.trajectory.mask_at(judged)
    if not mask.any():
        return LikelyError("missing part", "the mask is empty")
    outline = record.outline if judged == 0 and record.outline and record.outline.by == "policy" else None
    # A policy with doubts does not know which object is meant, so neither its score nor its click says anything.
    if record.doubts:
        if outline is not None and outline.iou < BAD_OUTLINE:
            return _by_outline(outline)
        return LikelyError("cannot tell", "the policy has doubts")
    if calibrated is None:
        return LikelyError("unknown", "the policy predicts no IoU of it")
    if calibrated >= OK_FROM:
        return LikelyError("ok", f"expected IoU {calibrated:.2f}")
    ahead = _look_ahead(record, judged)
    told = f"expected IoU {calibrated:.2f}; {_next(ahead)}"
    if ahead is None:
        return LikelyError("not looked at", told)
    predicted = record.trajectory.predicted_iou_at(judged)
    if outline is not None and outline.iou < BAD_OUTLINE:
        return _by_outline(outline)
    if predicted is not None and predicted < WRONG_BELOW:
        return LikelyError("wrong object", f"predicted IoU {predicted:.2f}; {_next(ahead)}")
    if isinstance(ahead.action, Finish):
        return LikelyError("ok", told)
    gain = _gain(record, judged, ahead)
    if calibrated >= FINE_FROM and gain is not None and gain <= 0:
        return LikelyError("ok", f"{told}, and it would be no better")
    if not isinstance(ahead.action, Click) or ahead.invalid is not None:
        return LikelyError("cannot tell", told)
    return _by_click(mask, ahead, ahead.action)


def audit_score(record: ObjectRecord) -> float | None:
    """By what the masks of an audit are best ordered, worst first: predicted IoU less what one click would gain.

    Of masks that are thought equally good those that a click would better are likelier to be wrong. A quarter of what
    the outline alone is worth is added where it was judged: a bad one is wrong whatever is meant. More of either finds
    more bad outlines and fewer wrong objects. No IoU; None where none was predicted.
    """
    judged = _judged(record)
    predicted = record.trajectory.predicted_iou_at(judged)
    if predicted is None:
        return None
    gain = _gain(record, judged, _look_ahead(record, judged))
    outline = 0.0 if record.outline is None or judged else record.outline.iou / 4
    return predicted + outline - max(gain or 0.0, 0.0)


def _by_outline(outline: SeenOutline) -> LikelyError:
    """How a bad outline differs from that of the thing it is on, as that is seen without words."""
    seen = f"whatever is meant, the outline is bad (expected IoU {outline.iou:.2f}): "
    seen += f"{outline.spill:.0%} of the mask seems too much, {outline.missing:.0%} more is missing"
    lesser, greater = sorted((outline.missing, outline.spill))
    if lesser > UNEVEN * greater:
        return LikelyError("rough edge", seen)
    return LikelyError("missing part" if outline.missing > outline.spill else "spill", seen)


def _judged(record: ObjectRecord) -> int:
    """The state that is spoken of: the given mask, the answer where none was given."""
    return record.trajectory.returned if record.outcome in ("made", "not_found") else 0


def _look_ahead(record: ObjectRecord, judged: int) -> Step | None:
    return next((step for step in record.trajectory.steps if step.parent == judged), None)


def _gain(record: ObjectRecord, judged: int, ahead: Step | None) -> float | None:
    """By how much the predicted IoU rises with the policy's next action."""
    before = record.trajectory.predicted_iou_at(judged)
    after = None if ahead is None else ahead.predicted_iou
    return None if before is None or after is None else after - before


def _next(ahead: Step | None) -> str:
    if ahead is None:
        return "no next click is on record"
    if isinstance(ahead.action, Finish):
        return "the policy would leave it as it is"
    if not isinstance(ahead.action, Click) or ahead.invalid is not None:
        return "the policy's next action is no valid click"
    sign = "positive" if ahead.action.positive else "negative"
    return f"the next click is a {sign} one at ({ahead.action.x}, {ahead.action.y})"


def _by_click(mask: BoolMask, ahead: Step, click: Click) -> LikelyError:
    """What the click does to the mask says whether there is too little or too much of it, or both."""
    after = decode_rle(ahead.mask)
    area = np.count_nonzero(mask)
    lost, added = np.count_nonzero(mask & ~after) / area, np.count_nonzero(after & ~mask) / area
    change = f"{_next(ahead)}; it takes {lost:.0%} away and adds {added:.0%}"
    if min(lost, added) > HALF:
        return LikelyError("wrong object", change)
    if min(lost, added) > BOTH_WAYS and max(lost, added) <= HALF:
        return LikelyError("rough edge", change)
    # What is done to the mask goes before the click's sign, which is all there is where nothing is done.
    too_little = click.positive if lost == added else added > lost
    return LikelyError("missing part" if too_little else "spill", change)
