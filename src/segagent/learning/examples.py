"""From trajectories to training examples: SFT, StaR and StaR+ (paper sections 4.1 and 4.2, Alg. 1, 3, 4).

An example is one state with what the policy ought to have written there: the IoU of the mask it sees, then the
action. Rewards come from the environment only (``search.with_rewards`` or trajectory generation); a trajectory without
them is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

from segagent.core import (
    Action,
    Box,
    Click,
    Finish,
    Image,
    InputError,
    InvalidAction,
    Observation,
    Rle,
    Trajectory,
    decode_rle,
    empty_mask,
    encode_rle,
)
from segagent.core.actions import action_from_dict, action_to_dict
from segagent.environment import GenerationConfig

Origin: TypeAlias = Literal["annotator", "kept", "replaced", "dropped"]

EXAMPLES_SCHEMA = "segagent.examples/1"
"""Of a record that holds examples about one sample."""

Asks: TypeAlias = Literal["action", "box", "good"]
"""What the policy is asked in an example: for its next action, for a first box, or whether the mask is good enough."""


@dataclass(frozen=True, slots=True)
class Example:
    """One supervised reply.

    ``sample_id`` and ``image`` name the sample whose picture and sentence were shown, ``mask`` the mask drawn over
    it, ``current_iou`` in [0, 1] its true IoU (the PRM target), ``action`` what is to be written (None: nothing is
    taught about the action).
    ``origin`` tells where the action comes from: the simulated ``annotator``, the policy's own action that was
    ``kept``, one that was ``replaced``, or one that was ``dropped`` because the annotator would have done no better
    (there is no action then).
    ``asks``: which question it answers. Where that is "good", ``Finish`` says yes and any click no.
    """

    sample_id: str
    image: str
    text: str
    mask: Rle
    current_iou: float
    action: Action | None
    origin: Origin
    asks: Asks = "action"


@dataclass(frozen=True, slots=True)
class Correction:
    """What the simulated annotator does in a state of a rollout: ``click``, or None where nothing is left to click.

    ``reward`` in [0, 1] is the true IoU of the mask that it leads to.
    """

    click: Click | None
    reward: float


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


def box_example(trajectory: Trajectory) -> Example | None:
    """The box that a trajectory begins with, as the answer to the question for a first box; None where there is none.

    The policy sees the empty mask then, whose IoU is 0: there is an object to draw a box around.
    """
    box = next((prompt for prompt in trajectory.start.prompts if isinstance(prompt, Box)), None)
    if trajectory.start.kind != "box" or box is None:
        return None
    nothing = encode_rle(empty_mask(trajectory.height, trajectory.width))
    about = trajectory.sample_id, trajectory.image, trajectory.text
    return Example(*about, nothing, 0.0, box, "annotator", "box")


def raised(trajectory: Trajectory, index: int) -> bool:
    """Whether step ``index`` (from 1) raised the reward. Raises ``ValueError`` for a trajectory without rewards."""
    return _reward(trajectory, index) > _reward(trajectory, trajectory.steps[index - 1].parent)


def star_plus_examples(
    trajectory: Trajectory,
    corrections: Mapping[int, Correction],
    rules: GenerationConfig = GenerationConfig(),  # noqa: B008 - frozen
) -> list[Example]:
    """D_n of StaR+ (Alg. 1): each action of a rollout on its own merit, and the IoU of the state it ended in.

    An action that raised the reward, whatever its kind, is kept, and so is a ``Finish`` of a mask that has reached
    ``rules.tau_stop``. Any other is replaced by what D_0 would hold for that same mask: ``Finish`` where it has reached
    ``tau_stop`` or nothing is left to click, else the annotator's click. One that D_0's rules discard, since it raises
    the reward by less than ``tau_diff`` or not at all, is dropped: of that state only the IoU is taught.

    ``corrections`` has the annotator's click for every step (by its number, from 1) that did not raise the reward.
    Raises ``ValueError`` for a trajectory without rewards, ``KeyError`` for a correction that is missing.
    """
    examples = []
    for index, step in enumerate(trajectory.steps, 1):
        before = _reward(trajectory, step.parent)
        action: Action | None = step.action
        origin: Origin = "kept"
        if not raised(trajectory, index):
            correction = corrections[index]
            done = before >= rules.tau_stop or correction.click is None
            if done and not isinstance(action, Finish):
                action, origin = Finish(), "replaced"
            elif not done and rules.discards(correction.reward - before):
                action, origin = None, "dropped"
            elif not done:
                action, origin = correction.click, "replaced"
        examples.append(_example(trajectory, step.parent, action, origin))
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


def fates(examples: Iterable[Example]) -> dict[Origin, int]:
    """How many of a policy's own actions were kept, replaced and dropped."""
    origins = [e.origin for e in examples if e.action is not None or e.origin == "dropped"]
    names: tuple[Origin, ...] = ("kept", "replaced", "dropped")
    return {name: origins.count(name) for name in names}


def examples_record(examples: Sequence[Example]) -> dict[str, Any]:
    """Examples, at least one, about one and the same sample as a record; inverse of :func:`examples_of`."""
    first = examples[0]
    return {
        "schema": EXAMPLES_SCHEMA,
        "sample_id": first.sample_id,
        "image": first.image,
        "height": int(first.mask["size"][0]),
        "width": int(first.mask["size"][1]),
        "text": first.text,
        "examples": [
            {
                "mask": one.mask["counts"],
                "iou": one.current_iou,
                "action": None if one.action is None else action_to_dict(one.action),
                "origin": one.origin,
                "asks": one.asks,
            }
            for one in examples
        ],
    }


def examples_of(record: dict[str, Any]) -> list[Example]:
    """Inverse of :func:`examples_record`. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for a damaged one."""
    names = str(record["sample_id"]), str(record["image"]), str(record["text"])
    size = [int(record["height"]), int(record["width"])]
    found = []
    for one in record["examples"]:
        action = None if one["action"] is None else action_from_dict(one["action"])
        mask = cast(Rle, {"size": size, "counts": one["mask"]})
        found.append(Example(*names, mask, float(one["iou"]), action, one["origin"], one["asks"]))
    return found


def _example(trajectory: Trajectory, index: int, action: Action | None, origin: Origin) -> Example:
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
