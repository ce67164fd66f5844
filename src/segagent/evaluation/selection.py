"""Which mask a trajectory stands for after a given number of steps."""

from __future__ import annotations

from segagent.core import Trajectory


def state_after(trajectory: Trajectory, num_steps: int, *, use_prm: bool) -> int:
    """Index of the state that would have been returned had the budget been ``num_steps``.

    With ``use_prm`` it is the best-scored state up to then (the first of equals, unscored states left out), else
    simply the last one.
    An episode that ended early keeps its last state.
    """
    last = min(num_steps, len(trajectory.steps))
    if not use_prm:
        return last
    scores = [(trajectory.predicted_iou_at(i), i) for i in range(last + 1)]
    known = [(score, -i) for score, i in scores if score is not None]
    return -max(known)[1] if known else last
