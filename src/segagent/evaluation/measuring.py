"""From one stored trajectory and its target to sums: every metric of a sample is defined here.

Rules for masks without pixels, after ignored pixels were removed from prediction and target alike: two empty masks
agree (IoU 1, boundary IoU 1) and add nothing to cIoU's totals; an empty target with a prediction has IoU 0 and adds the
prediction's pixels to the union; an empty prediction for a target has IoU 0 and adds the target's pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np

from segagent.core import Box, Click, Rle, Trajectory, decode_rle
from segagent.core.rle import rle_overlaps
from segagent.evaluation.boundary import boundary_iou
from segagent.evaluation.metrics import Pair, Ratio, Sums
from segagent.evaluation.selection import Selection, selected_state, state_after

Protocol: TypeAlias = Literal["res", "noc", "filter", "refine", "outline"]

PRECISIONS = (0.5, 0.6, 0.7, 0.8, 0.9)
CLICK_TARGETS = (0.80, 0.85, 0.90, 0.95)
ACCEPTED_IOU = 0.80
"""The true IoU from which a mask counts as accepted in "seconds per accepted mask"."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How trajectories are to be read: ``max_steps`` is the budget, ``use_prm`` whether the predicted IoU chose."""

    protocol: Protocol
    max_steps: int
    select: Selection = "returned"
    use_prm: bool = True


@dataclass(frozen=True, slots=True)
class MeasuredSample:
    """A stored sample: its trajectory, the true mask, pixels to leave out, and its share of the seconds it took."""

    trajectory: Trajectory
    target: Rle
    ignore: Rle | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Measured:
    """``ious`` of all states in [0, 1], ``iou`` that of the selected ``state``, and what it adds to the metrics."""

    sums: Sums
    state: int
    ious: tuple[float, ...]

    @property
    def iou(self) -> float:
        """IoU of the selected state."""
        return self.ious[self.state]


def measure(sample: MeasuredSample, rules: Rules) -> Measured:
    """Every metric of one sample. Raises ``ValueError`` where masks are damaged or differ in size."""
    trajectory = sample.trajectory
    rles = [trajectory.rle_at(index) for index in range(len(trajectory.steps) + 1)]
    intersections, unions = rle_overlaps(rles, [sample.target] * len(rles), [sample.ignore] * len(rles))
    ious = [float(i / u) if u else 1.0 for i, u in zip(intersections, unions, strict=True)]
    state = selected_state(trajectory, rules.select)
    prediction_empty, target_empty = _emptiness(rles[state], sample)
    ratios: dict[str, Ratio] = {
        "cIoU": (float(intersections[state]), float(unions[state])),
        "gIoU": (ious[state], 1),
    }
    if rules.protocol == "filter":
        return Measured(Sums.of(trajectory.image, ratios, _pairs(trajectory, ious, first=0)), state, tuple(ious))
    ignore = None if sample.ignore is None else decode_rle(sample.ignore)
    ratios["bIoU"] = boundary_iou(decode_rle(rles[state]), decode_rle(sample.target), ignore), 1
    ratios |= {f"Pr@{threshold:g}": (float(ious[state] >= threshold), 1) for threshold in PRECISIONS}
    ratios["N-acc" if target_empty else "T-acc"] = float(prediction_empty == target_empty), 1
    if rules.protocol == "outline":
        return Measured(Sums.of(trajectory.image, ratios, ()), state, tuple(ious))
    if rules.protocol == "noc":
        ratios |= click_metrics(ious, rules.max_steps)
    else:
        by_score = rules.use_prm and rules.select == "returned"
        ratios |= {
            f"IoU@{k}": (ious[state_after(trajectory, k, use_prm=by_score)], 1) for k in range(1, rules.max_steps + 1)
        }
    ratios |= _behaviour(sample, target_empty, ious, state)
    first = 0 if trajectory.start.kind != "empty" else 1
    return Measured(Sums.of(trajectory.image, ratios, _pairs(trajectory, ious, first)), state, tuple(ious))


def _emptiness(prediction: Rle, sample: MeasuredSample) -> tuple[bool, bool]:
    """Whether prediction and target have no pixel, ignored ones apart."""
    masks = [prediction, sample.target]
    counted, _ = rle_overlaps(masks, masks, [sample.ignore] * 2)
    return not counted[0], not counted[1]


def _pairs(trajectory: Trajectory, ious: Sequence[float], first: int) -> list[Pair]:
    """Predicted and true IoU of each state from ``first`` on whose IoU was predicted."""
    said = [(trajectory.predicted_iou_at(index), ious[index]) for index in range(first, len(ious))]
    return [(float(predicted), true) for predicted, true in said if predicted is not None]


def click_metrics(ious: Sequence[float], max_clicks: int) -> dict[str, Ratio]:
    """NoC, failures, IoU after each click and the area under that curve; ``ious`` in [0, 1] begin before the first.

    ``NoC@85``: clicks until the IoU is at least 0.85, ``max_clicks`` for a failure. ``failed@85``: share of failures.
    ``AUC``: the mean over clicks 1 to ``max_clicks`` of the IoU after that click, in [0, 1]. Where an episode ended
    early its last mask stands for the clicks that were not made.
    """
    curve = list(ious[1 : max_clicks + 1]) or [ious[0]]
    curve += [curve[-1]] * (max_clicks - len(curve))
    ratios: dict[str, Ratio] = {f"IoU@{k}": (value, 1) for k, value in enumerate(curve, 1)}
    for threshold in CLICK_TARGETS:
        needed = next((k for k, value in enumerate(curve, 1) if value >= threshold), None)
        ratios[f"NoC@{round(100 * threshold)}"] = float(needed or max_clicks), 1
        ratios[f"failed@{round(100 * threshold)}"] = float(needed is None), 1
    ratios["AUC"] = float(np.mean(curve)), 1
    return ratios


def _behaviour(sample: MeasuredSample, target_empty: bool, ious: Sequence[float], state: int) -> dict[str, Ratio]:
    """How the mask was come by, and what it cost.

    ``first-click hit rate``: over samples with a target, begun from nothing, whose first action is no box, whether it
    is a positive click on the target. ``refine gain``: IoU of the selected mask minus that of the first one (the given
    start, else the mask after the first action). ``invalid replies``: share of actions that could not be carried out.
    ``calls`` and ``tokens`` of the policy's model and ``seconds`` are per sample; ``seconds per accepted mask`` divides
    all seconds, also those of bad masks, by the number of masks with a true IoU of at least 0.8.
    """
    trajectory = sample.trajectory
    ratios: dict[str, Ratio] = {
        "seconds": (sample.seconds, 1),
        "seconds per accepted mask": (sample.seconds, float(ious[state] >= ACCEPTED_IOU)),
    }
    if trajectory.usage is not None:
        tokens = trajectory.usage.prompt_tokens + trajectory.usage.completion_tokens
        ratios |= {"calls": (trajectory.usage.calls, 1), "tokens": (tokens, 1)}
    elif trajectory.num_policy_calls:
        ratios["calls"] = trajectory.num_policy_calls, 1
    given = trajectory.start.kind != "empty"
    if given or trajectory.steps:
        ratios["refine gain"] = ious[state] - ious[0 if given else 1], 1
    if not trajectory.steps:
        return ratios
    ratios["invalid replies"] = trajectory.num_invalid, len(trajectory.steps)
    first = trajectory.steps[0].action
    if not given and not target_empty and not isinstance(first, Box):
        ratios["first-click hit rate"] = float(_hits(first, sample)), 1
    return ratios


def _hits(action: object, sample: MeasuredSample) -> bool:
    """Whether ``action`` is a positive click on the target."""
    if not isinstance(action, Click) or not action.positive:
        return False
    mask = decode_rle(sample.target)
    return action.inside(*cast(tuple[int, int], mask.shape)) and bool(mask[action.y, action.x])
