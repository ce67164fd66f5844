"""When a refine replaces a given mask: what is asked of the answer, from what is seen of both.

Thresholds were chosen on photographs and scenes of validation parts, see docs/repair.md.
"""

from __future__ import annotations

from collections.abc import Collection

from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.likely_error import WRONG_BELOW
from segagent.annotation.batch.models import Models
from segagent.annotation.batch.records import SeenOutline
from segagent.core import Trajectory, iou

SAME_THING = 0.4
"""An answer of at least this IoU with the given mask is about the same thing."""
SURE_OUTLINE = 0.85
"""So good an outline, judged without words, may replace a worse one of the same thing where the words say nothing."""


def replaces(
    trajectory: Trajectory, doubts: Collection[str], outline: SeenOutline | None, models: Models, config: RunConfig
) -> bool:
    """Whether the answer of a refine's ``trajectory`` takes the given mask's place.

    ``doubts`` of the policy; ``outline``: what is seen of both masks without the words, None where nothing is.

    - By the words: the predicted IoU rises by more than ``config.margin`` and is then, calibrated, at least
      ``config.sure``, and the policy has no doubts. Where outlines are judged, another thing than the given one needs
      more: hardly anything of the given mask is what is meant. A policy that mistakes what is meant is sure of its
      mistake, and right masks are lost by that alone.
    - By the outline, whatever the words say: of the same thing the answer is a sure outline, and better by the margin;
      by half of it where the predicted IoU rises by the margin too.
    """
    given, predicted = trajectory.start.predicted_iou, trajectory.predicted_iou_at(trajectory.returned)
    if not trajectory.returned or given is None or predicted is None:
        return False
    rises = predicted > given + config.margin
    by_words = rises and models.calibrated(predicted) >= config.sure and not doubts
    if outline is None or outline.answer_iou is None:
        return by_words
    if iou(trajectory.mask_at(0), trajectory.mask_at(trajectory.returned)) < SAME_THING:
        return by_words and given < WRONG_BELOW
    better_by = config.margin / 2 if rises else config.margin
    by_outline = outline.answer_iou >= SURE_OUTLINE and outline.answer_iou >= outline.iou + better_by
    return by_words or by_outline
