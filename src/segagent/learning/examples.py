"""From trajectories to training examples: SFT, StaR and StaR+ (paper sections 4.1 and 4.2, Alg. 1, 3, 4).

An example is one state with what the policy ought to have written there: the IoU of the mask it sees, then the
action. Rewards come from
the environment only (``search.with_rewards`` or trajectory generation); a trajectory without them is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from segagent.core import (
    Action,
    Click,
    Finish,
    Image,
    InputError,
    InvalidAction,
    Observation,
    Rle,
    Trajectory,
    decode_rle,
)
from segagent.environment import Target, next_click


@dataclass(frozen=True, slots=True)
class Example:
    """One supervised reply.

    ``sample_id`` and ``image`` name the sample whose picture and sentence were shown, ``mask`` the mask drawn over
    it, ``current_iou`` in [0, 1] its true IoU (the PRM target), ``action`` what is to be written (None: nothing is
    taught about the action).
    ``origin`` tells where
    the action comes from: the simulated ``annotator``, the policy's own action that was ``kept``, or one that was
    ``replaced``.
    """

    sample_id: str
    image: str
    text: str
    mask: Rle
    current_iou: float
    action: Action | None
    origin: Literal["annotator", "kept", "replaced"]


def observation_of(example: Example, image: Image) -> Observation:
    """What the policy saw in an example; ``image`` is its picture. Raises ``InputError`` if the mask does not fit."""
    try:
        mask = decode_rle(example.mask)
        if mask.shape != (image.height, image.width):
            raise ValueError(f"mask of {mask.shape}, picture of {(image.height, image.width)}")
        return Observation(image, example.text, mask)
    except ValueError as error:
        raise InputError(f"example {example.sample_id!r:.200}: {error}") from error


def sft_examples(trajectory: Trajectory) -> list[Example]:
    """D_0: every state of a simulated annotator's trajectory with the action taken in it.

    The last state teaches its IoU, and ``Finish`` where the trajectory ended because the mask was good enough.
    Raises ``ValueError`` for a trajectory without rewards.
    """
    examples = []
    for index in range(len(trajectory.steps) + 1):
        if index < len(trajectory.steps):
            action: Action | None = trajectory.steps[index].action
        else:
            action = Finish() if trajectory.stopped == "tau_stop" else None
        examples.append(_example(trajectory, index, action, "annotator"))
    return examples


def star_plus_examples(trajectory: Trajectory, target: Target) -> list[Example]:
    """D_n of StaR+ (Alg. 1): each action of a rollout on its own merit, and the IoU of the state it ended in.

    An action that raised the reward is kept; any other (lowered, unchanged, invalid reply, undo, finish) is
    replaced by the
    simulated annotator's click for that same mask, or by ``Finish`` where nothing is left to click.
    Raises ``ValueError`` for a trajectory without rewards.
    """
    examples = []
    for index, step in enumerate(trajectory.steps, 1):
        raised = _reward(trajectory, index) > _reward(trajectory, step.parent)
        if raised and isinstance(step.action, Click):
            examples.append(_example(trajectory, step.parent, step.action, "kept"))
            continue
        clicked = [prompt for prompt in trajectory.prompts_at(step.parent) if isinstance(prompt, Click)]
        click = next_click(trajectory.mask_at(step.parent), target.mask, clicked, target.ignore)
        examples.append(_example(trajectory, step.parent, click or Finish(), "replaced"))
    examples.append(_example(trajectory, len(trajectory.steps), None, "kept"))
    return examples


def star_examples(trajectory: Trajectory, *, min_reward: float) -> list[Example]:
    """D_n of plain StaR (Alg. 4): all actions up to the returned mask if it reaches ``min_reward``, else none."""
    if _reward(trajectory, trajectory.returned) < min_reward:
        return []
    return [
        _example(trajectory, trajectory.steps[index - 1].parent, trajectory.steps[index - 1].action, "kept")
        for index in trajectory.path_to(trajectory.returned)
        if not isinstance(trajectory.steps[index - 1].action, InvalidAction)
    ]


def replaced_share(examples: Iterable[Example]) -> float:
    """Share of the policy's own actions that StaR+ replaced, in [0, 1]; nan without any."""
    origins = [e.origin for e in examples if e.origin != "annotator" and e.action is not None]
    return origins.count("replaced") / len(origins) if origins else float("nan")


def _example(
    trajectory: Trajectory, index: int, action: Action | None, origin: Literal["annotator", "kept", "replaced"]
) -> Example:
    return Example(
        sample_id=trajectory.sample_id,
        image=trajectory.image,
        text=trajectory.text,
        mask=trajectory.rle_at(index),
        current_iou=_reward(trajectory, index),
        action=action,
        origin=origin,
    )


def _reward(trajectory: Trajectory, index: int) -> float:
    reward = trajectory.reward_at(index)
    if reward is None:
        raise ValueError(
            f"trajectory of {trajectory.sample_id!r} has no reward for state {index}; "
            "training needs trajectories that were made with a target"
        )
    return reward
