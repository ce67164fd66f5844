"""When an episode ends and which of its masks it returns: one rule, for playing and for reading it off afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from segagent.core import Finish, Trajectory, Usage
from segagent.search.config import SearchConfig


def best_scored(scores: Sequence[float | None]) -> int | None:
    """Index of the largest score, the first of equals; None where no score is known."""
    known = [(score, -index) for index, score in enumerate(scores) if score is not None]
    return -max(known)[1] if known else None


def why_satisfied(num_steps: int, best: int, best_iou: float | None, config: SearchConfig) -> str:
    """Why the predicted IoUs end an episode after ``num_steps``; empty if they do not.

    ``best`` is the first state with the largest predicted IoU so far, ``best_iou``; None if none is known.
    """
    if config.use_prm and best_iou is not None:
        if not num_steps and config.keep_iou is not None and best_iou >= config.keep_iou:
            return "kept"
        if best_iou >= config.stop_iou:
            return "confident"
        if num_steps - best >= config.patience:
            return "converged"
    return ""


def shortened(trajectory: Trajectory, config: SearchConfig) -> Trajectory:
    """The part of a ``trajectory`` without early stop that would have been played with ``config``, K = 1.

    Actions and masks of an episode do not depend on when it ends, so the shorter episode is a beginning of the longer
    one; a test plays both. Calls are those of the beginning; of seconds and tokens, which are known only for the whole,
    it gets the share that it has of the calls.
    """
    length, stopped = _end(trajectory, config)
    scores = [trajectory.predicted_iou_at(index) for index in range(length + 1)]
    best = best_scored(scores) if config.use_prm else None
    steps = trajectory.steps[:length]
    calls = trajectory.num_policy_calls - sum(not isinstance(step.action, Finish) for step in trajectory.steps[length:])
    share = calls / trajectory.num_policy_calls if trajectory.num_policy_calls else 0.0
    return replace(
        trajectory,
        steps=steps,
        returned=length if best is None else best,
        stopped=stopped,
        num_policy_calls=calls,
        num_tool_calls=trajectory.num_tool_calls
        - sum(step.invalid is None and not isinstance(step.action, Finish) for step in trajectory.steps[length:]),
        seconds=trajectory.seconds * share,
        usage=None if trajectory.usage is None else _part(trajectory.usage, share),
    )


def _end(trajectory: Trajectory, config: SearchConfig) -> tuple[int, str]:
    """After how many steps ``config`` ends the episode, and why."""
    best, best_iou = 0, trajectory.start.predicted_iou
    for length in range(len(trajectory.steps) + 1):
        said = trajectory.predicted_iou_at(length)
        if said is not None and (best_iou is None or said > best_iou):
            best, best_iou = length, said
        if length and isinstance(trajectory.steps[length - 1].action, Finish):
            return length, "finish"
        why = why_satisfied(length, best, best_iou, config)
        if why or length >= config.max_steps:
            return length, why or "max_steps"
    return len(trajectory.steps), trajectory.stopped


def _part(usage: Usage, share: float) -> Usage:
    fractions = ("seconds", "money")
    parts = {name: getattr(usage, name) * share for name in Usage.__slots__}
    return Usage(**{name: value if name in fractions else round(value) for name, value in parts.items()})
