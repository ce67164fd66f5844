"""What is likely to be wrong with a mask, read off a record: what the policy would click, and what came of it.

Nothing is asked of any model, so a better rule speaks of runs made before it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from segagent.annotation.batch.records import ObjectRecord
from segagent.core import BoolMask, Click, Finish, Step, decode_rle, iou

ErrorLabel: TypeAlias = Literal["wrong object", "missing part", "spill", "rough edge", "ok"]

ERROR_LABELS: tuple[ErrorLabel, ...] = get_args(ErrorLabel)

OK_FROM = 0.85
"""Masks whose calibrated IoU is at least this are taken to be right."""
WRONG_BELOW = 0.3
"""Below this calibrated IoU hardly anything of a mask is the object that is meant."""
ROUGH_FROM = 0.85
"""Where the tool's mask after one click has at least this IoU with the given one, only the edge differs."""


@dataclass(frozen=True, slots=True)
class LikelyError:
    """``reason`` says in a clause what the label was read off."""

    label: ErrorLabel
    reason: str


def likely_error(record: ObjectRecord, calibrated: float | None) -> LikelyError:
    """What is likely to be wrong with the mask that ``record`` was given, or with the answer where none was given.

    ``calibrated``: the expected IoU of that mask (``run.calibrated(record.given_iou)``; for ``annotate`` that of
    ``record.predicted_iou``); None where it is not known: then only the click decides.
    """
    judged = record.trajectory.returned if record.outcome in ("made", "not_found") else 0
    mask = record.trajectory.mask_at(judged)
    if not mask.any():
        return LikelyError("missing part", "the mask is empty")
    if calibrated is not None and calibrated >= OK_FROM:
        return LikelyError("ok", f"expected IoU {calibrated:.2f}")
    ahead = next((step for step in record.trajectory.steps if step.parent == judged), None)
    if ahead is None or not isinstance(ahead.action, Click) or ahead.invalid is not None:
        return _without_click(ahead, calibrated)
    return _by_click(mask, ahead, ahead.action, calibrated)


def _without_click(ahead: Step | None, calibrated: float | None) -> LikelyError:
    """Where the policy made no usable click, the score is all there is."""
    if ahead is not None and isinstance(ahead.action, Finish):
        said = "the policy would leave it as it is"
    else:
        said = "no next click is on record" if ahead is None else "the policy's next action is no valid click"
    if calibrated is None:
        return LikelyError("ok", said)
    label: ErrorLabel = "wrong object" if calibrated < WRONG_BELOW else "rough edge"
    return LikelyError(label, f"expected IoU {calibrated:.2f}; {said}")


def _by_click(mask: BoolMask, ahead: Step, click: Click, calibrated: float | None) -> LikelyError:
    """The click's sign says whether there is too little or too much, what it does to the mask how much."""
    after = decode_rle(ahead.mask)
    where = f"({click.x}, {click.y})"
    if calibrated is not None and calibrated < WRONG_BELOW:
        return LikelyError("wrong object", f"expected IoU {calibrated:.2f}; the next click is at {where}")
    kept = float(np.count_nonzero(mask & after)) / np.count_nonzero(mask)
    if click.positive and kept < 0.3 and after.any():
        return LikelyError("wrong object", f"a click at {where} selects something else")
    if iou(mask, after) >= ROUGH_FROM:
        return LikelyError("rough edge", f"a click at {where} changes little")
    if click.positive:
        return LikelyError("missing part", f"the policy would add what is at {where}")
    return LikelyError("spill", f"the policy would take away what is at {where}")
