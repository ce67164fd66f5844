"""Rewards of one turn, as small functions of what the turn came to; weighted sums of them by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from segagent.core import Action, Finish, InputError, InvalidAction


@dataclass(frozen=True, slots=True)
class Outcome:
    """One turn, seen by the environment. ``before`` and ``after``: IoU with the target in [0, 1].

    ``invalid``: why the action could not be carried out, None where it was. ``predicted_iou``: what the policy said of
    the mask before, in [0, 1], None where it said nothing. ``ended``: whether the episode is over after the turn.
    """

    action: Action
    before: float
    after: float
    invalid: str | None
    predicted_iou: float | None
    ended: bool


Reward: TypeAlias = Callable[[Outcome], float]


def iou_gain(turn: Outcome) -> float:
    """How much the IoU rose, in [-1, 1]. Over an episode it adds up to the final IoU less the first."""
    return turn.after - turn.before


def final_iou(turn: Outcome) -> float:
    """The IoU that the episode ends with, 0 before its end."""
    return turn.after if turn.ended else 0.0


def format_kept(turn: Outcome) -> float:
    """-1 for a reply that names no action that can be carried out, else 0."""
    return -float(isinstance(turn.action, InvalidAction) or turn.invalid is not None)


def stopping(turn: Outcome, good: float = 0.9) -> float:
    """Of a Finish: 1 where the IoU has reached ``good``, -1 where it has not; 0 for everything else."""
    return 0.0 if not isinstance(turn.action, Finish) else (1.0 if turn.before >= good else -1.0)


def self_assessment(turn: Outcome) -> float:
    """Minus the error of the predicted IoU, in [-1, 0]; 0 where none is predicted."""
    return 0.0 if turn.predicted_iou is None else -abs(turn.predicted_iou - turn.before)


REWARDS: Mapping[str, Reward] = MappingProxyType(
    {one.__name__: one for one in (iou_gain, final_iou, format_kept, stopping, self_assessment)}
)
"""By name."""

DEFAULT = "iou_gain+0.1*format_kept+0.1*stopping"


def reward_named(words: str) -> Reward:
    """The weighted sum that ``"iou_gain+0.1*format_kept"`` names. Raises ``InputError`` saying what is expected."""
    parts: list[tuple[float, Reward]] = []
    for part in words.split("+"):
        weight, star, name = part.strip().rpartition("*")
        try:
            parts.append((float(weight) if star else 1.0, REWARDS[name.strip()]))
        except (KeyError, ValueError) as error:
            raise InputError(
                f"reward {words!r:.120}: expected names joined by '+', each with a weight like 0.1* before it where "
                f"wanted; the names are {', '.join(REWARDS)}"
            ) from error
    return lambda turn: math.fsum(weight * reward(turn) for weight, reward in parts)
