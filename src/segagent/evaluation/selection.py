"""Which mask a trajectory stands for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from segagent.core import Finish, InvalidAction, Trajectory
from segagent.search.stopping import best_scored

Selection: TypeAlias = Literal["returned", "published", "last"]
"""``returned``: what the search returned. ``published``: see :func:`published_state`. ``last``: the newest mask."""


def selected_state(trajectory: Trajectory, select: Selection) -> int:
    """Index of the state that ``select`` takes the mask of."""
    if select == "published":
        return published_state(trajectory)
    return trajectory.returned if select == "returned" else len(trajectory.steps)


def published_state(trajectory: Trajectory) -> int:
    """The choice of the published evaluation (the paper's code, not its text).

    There an entry is a click with the reply that named it; the reply's predicted IoU speaks of the mask *before* that
    click. The entry with the largest predicted IoU is looked for (the first of equals), and the mask of the entry
    before it is taken; of the first entry, if that is the one. So the mask after the last click, which no reply speaks
    of, is never taken unless it is the only one, and neither is the start. Where a reply names no IoU, none of the
    trajectory's is used there, and the first mask is taken. ``Finish`` and what cannot be read end an episode there and
    leave no entry.
    """
    best, chosen = -1.0, min(1, len(trajectory.steps))
    for step in trajectory.steps:
        if isinstance(step.action, Finish | InvalidAction):
            break
        said = trajectory.predicted_iou_at(step.parent)
        if said is None:
            return 1
        if said > best:
            best, chosen = said, max(1, step.parent)
    return chosen


def state_after(trajectory: Trajectory, num_steps: int, *, use_prm: bool) -> int:
    """Index of the state that would have been returned had the budget been ``num_steps``.

    With ``use_prm`` it is the best-scored state up to then (the first of equals, unscored states left out), else
    simply the last one.
    An episode that ended early keeps its last state.
    """
    last = min(num_steps, len(trajectory.steps))
    if not use_prm:
        return last
    best = best_scored([trajectory.predicted_iou_at(index) for index in range(last + 1)])
    return last if best is None else best
