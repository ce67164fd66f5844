"""What an episode is at one moment, and the part of it that a policy is shown."""

from __future__ import annotations

from dataclasses import dataclass

from segagent.core.actions import Action, Prompt
from segagent.core.image import Image
from segagent.core.masks import BoolMask


@dataclass(frozen=True, eq=False)
class State:
    """One state of the HLMAT Markov decision process. A value: steps make new ones and touch nothing.

    ``prompts`` are the clicks and box in force, oldest first (the tool wants them all). ``memory`` is whatever the
    tool wants back with its next request (for example the previous probabilities); only the tool looks inside.
    ``num_steps`` counts actions of any kind, invalid replies included. ``previous`` is the state that an undo
    returns to: the one before the newest prompt.
    """

    mask: BoolMask
    prompts: tuple[Prompt, ...] = ()
    memory: object | None = None
    num_steps: int = 0
    finished: bool = False
    previous: State | None = None


@dataclass(frozen=True, eq=False)
class Attempt:
    """Something done earlier in an episode: ``action``, taken when the mask was ``mask``, bool (height, width).

    ``predicted_iou``: what the policy thought of that mask, in [0, 1] or None. ``invalid``: why the action could not be
    carried out, None where it was.
    """

    action: Action
    mask: BoolMask
    predicted_iou: float | None = None
    invalid: str | None = None


@dataclass(frozen=True, eq=False)
class Observation:
    """All that a policy may see: picture, sentence, current mask. Never the target.

    The history is left out on purpose (paper section 3): the same policy then refines any mask. ``past`` is for models
    that were never taught to click and are asked to look back (``?history=N``): what led from the episode's start to
    this mask, oldest first. Everyone else leaves it alone.
    """

    image: Image
    text: str
    mask: BoolMask
    past: tuple[Attempt, ...] = ()
