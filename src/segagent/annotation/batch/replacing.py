"""When a refine replaces a given mask: what is asked of the answer, from what is seen of both.

Thresholds were chosen on photographs and scenes of validation parts, see docs/repair.md.
"""

from __future__ import annotations

from collections.abc import Collection

from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.likely_error import WRONG_BELOW
from segagent.annotation.batch.models import Models
from segagent.annotation.batch.records import SeenOutline
from segagent.annotation.batch.second_opinion import redrawn
from segagent.core import Image, Trajectory, iou

SAME_THING = 0.4
"""An answer of at least this IoU with the given mask is about the same thing."""
SURE_OUTLINE = 0.85
"""So good an outline, judged without words, may replace a worse one of the same thing where the words say nothing."""
AGREES_BY = 0.05
"""By so much IoU the tool must agree better with an answer about the same thing than with the given mask."""


def replaces(
    trajectory: Trajectory,
    image: Image,
    doubts: Collection[str],
    outline: SeenOutline | None,
    models: Models,
    config: RunConfig,
) -> bool:
    """Whether the answer of a refine's ``trajectory`` takes the given mask's place.

    ``doubts`` of the policy; ``outline``: what it sees of both masks without the words, None where it judges none.

    The words speak for the answer where the predicted IoU rises by more than ``config.margin`` and is then, calibrated,
    at least ``config.sure``, and the policy has no doubts. Where nothing else is known that is enough. Else:

    - *Another thing* than the given one needs the words, and that hardly anything of the given mask is what is meant:
      a policy that mistakes what is meant is sure of its mistake.
    - *The same thing* needs the words or an outline that is sure, and better by the margin, whatever is meant; and that
      the tool agrees, which is told nothing but the given mask's box.

    Raises what the tool raises.
    """
    given, predicted = trajectory.start.predicted_iou, trajectory.predicted_iou_at(trajectory.returned)
    if not trajectory.returned or given is None or predicted is None:
        return False
    by_words = predicted > given + config.margin and models.calibrated(predicted) >= config.sure and not doubts
    if outline is None or outline.answer_iou is None:
        return by_words
    before, answer = trajectory.mask_at(0), trajectory.mask_at(trajectory.returned)
    if iou(before, answer) < SAME_THING:
        return by_words and given < WRONG_BELOW
    by_outline = outline.answer_iou >= SURE_OUTLINE and outline.answer_iou >= outline.iou + config.margin
    if not (by_words or by_outline):
        return False
    drawn = redrawn(models.tool, image, before)
    return iou(drawn, answer) >= iou(drawn, before) + AGREES_BY
