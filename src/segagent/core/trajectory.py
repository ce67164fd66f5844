"""Everything that happened in one episode: the only record, read by replay, training, evaluation and audit alike."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from segagent.core.actions import (
    Action,
    Box,
    Click,
    Prompt,
    Undo,
    action_from_dict,
    action_to_dict,
)
from segagent.core.interfaces import Aside
from segagent.core.masks import BoolMask, Rle, decode_rle
from segagent.core.tokens import ReplyTokens
from segagent.core.usage import Usage

SCHEMA = "segagent.trajectory/1"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action that a search tried and did not take, with the predicted IoU of the mask it led to.

    ``asides``: see :class:`segagent.core.Aside`.
    """

    action: Action
    text: str
    predicted_iou: float | None
    asides: tuple[Aside, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One action taken and the mask it led to.

    ``parent`` is the index of the state the action was taken in: the one before, unless a search stepped back.
    ``predicted_iou`` and ``reward`` speak of ``mask``, that is of the state after the action. ``reward`` is the true
    IoU; it is present only where a target was known to the environment (training and evaluation). ``invalid`` says why
    the action could not be carried out (None: it was). ``candidates`` are the actions tried beside this one. ``asides``
    are replies after which the model was asked again, until it gave ``text``. ``tokens``: the reply ``text`` as it was
    written; None where the policy was not told to keep that.
    """

    action: Action
    text: str
    mask: Rle
    parent: int
    predicted_iou: float | None = None
    log_prob: float | None = None
    reward: float | None = None
    invalid: str | None = None
    candidates: tuple[Candidate, ...] = ()
    asides: tuple[Aside, ...] = ()
    tokens: ReplyTokens | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """The state before the first action: ``kind`` is empty, mask, box or random, the latter two with ``prompts``."""

    kind: str
    mask: Rle
    predicted_iou: float | None = None
    reward: float | None = None
    prompts: tuple[Prompt, ...] = ()


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One episode. State 0 is the start, state ``i`` the one after step ``i``; ``returned`` indexes these states.

    ``usage``: what the policy's replies cost, those not taken included; None where it does not tell, and in records of
    earlier versions.
    """

    sample_id: str
    image: str
    height: int
    width: int
    text: str
    policy: str
    tool: str
    seed: int
    start: Start
    steps: tuple[Step, ...]
    returned: int
    stopped: str
    num_policy_calls: int = 0
    num_tool_calls: int = 0
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    usage: Usage | None = None

    def path_to(self, index: int) -> list[int]:
        """Indices of the states that lead from the start (left out) to state ``index``, in order."""
        path: list[int] = []
        while index > 0:
            path.append(index)
            index = self.steps[index - 1].parent
        return path[::-1]

    def prompts_at(self, index: int) -> list[Prompt]:
        """The clicks and box in force in state ``index``, oldest first, those of the start included."""
        prompts = list(self.start.prompts)
        for state in self.path_to(index):
            action = self.steps[state - 1].action
            if self.steps[state - 1].invalid is not None:
                continue
            if isinstance(action, Undo):
                prompts.pop()
            elif isinstance(action, Click | Box):
                prompts.append(action)
        return prompts

    @property
    def clicks(self) -> list[Click]:
        """The clicks that made the returned mask, in order: undone ones, and those of other branches, left out."""
        return [prompt for prompt in self.prompts_at(self.returned) if isinstance(prompt, Click)]

    @property
    def num_invalid(self) -> int:
        """How many actions could not be carried out."""
        return sum(step.invalid is not None for step in self.steps)

    def rle_at(self, index: int) -> Rle:
        """The mask of state ``index`` as RLE."""
        return self.start.mask if index == 0 else self.steps[index - 1].mask

    def mask_at(self, index: int) -> BoolMask:
        """The mask of state ``index``, bool (height, width)."""
        return decode_rle(self.rle_at(index))

    def predicted_iou_at(self, index: int) -> float | None:
        """What the policy thought of the mask of state ``index``, in [0, 1]."""
        return self.start.predicted_iou if index == 0 else self.steps[index - 1].predicted_iou

    def reward_at(self, index: int) -> float | None:
        """True IoU of state ``index`` where a target was known, in [0, 1]."""
        return self.start.reward if index == 0 else self.steps[index - 1].reward

    def to_dict(self) -> dict[str, Any]:
        """JSON form; see :data:`SCHEMA`."""
        return {
            "schema": SCHEMA,
            "sample_id": self.sample_id,
            "image": self.image,
            "height": self.height,
            "width": self.width,
            "text": self.text,
            "policy": self.policy,
            "tool": self.tool,
            "seed": self.seed,
            "start": {
                "kind": self.start.kind,
                "mask": self.start.mask,
                "predicted_iou": self.start.predicted_iou,
                "reward": self.start.reward,
                "prompts": [action_to_dict(prompt) for prompt in self.start.prompts],
            },
            "steps": [
                {
                    "action": action_to_dict(step.action),
                    "text": step.text,
                    "mask": step.mask,
                    "parent": step.parent,
                    "predicted_iou": step.predicted_iou,
                    "log_prob": step.log_prob,
                    "reward": step.reward,
                    "invalid": step.invalid,
                    "candidates": [
                        {
                            "action": action_to_dict(c.action),
                            "text": c.text,
                            "predicted_iou": c.predicted_iou,
                            **_asides_to_dict(c.asides),
                        }
                        for c in step.candidates
                    ],
                    **_asides_to_dict(step.asides),
                    **({} if step.tokens is None else {"tokens": step.tokens.to_dict()}),
                }
                for step in self.steps
            ],
            "returned": self.returned,
            "stopped": self.stopped,
            "num_policy_calls": self.num_policy_calls,
            "num_tool_calls": self.num_tool_calls,
            "seconds": self.seconds,
            "versions": self.versions,
            **({} if self.usage is None else {"usage": self.usage.to_dict()}),
        }

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Trajectory:
        """Inverse of :meth:`to_dict`. Raises ``ValueError`` naming what does not fit the schema."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"expected a record of schema {SCHEMA!r}, got {data.get('schema')!r}")
        try:
            steps = tuple(_step_from_dict(step) for step in data["steps"])
            trajectory = Trajectory(
                sample_id=str(data["sample_id"]),
                image=str(data["image"]),
                height=int(data["height"]),
                width=int(data["width"]),
                text=str(data["text"]),
                policy=str(data["policy"]),
                tool=str(data["tool"]),
                seed=int(data["seed"]),
                start=_start_from_dict(data["start"]),
                steps=steps,
                returned=int(data["returned"]),
                stopped=str(data["stopped"]),
                num_policy_calls=int(data["num_policy_calls"]),
                num_tool_calls=int(data["num_tool_calls"]),
                seconds=float(data["seconds"]),
                versions={str(k): str(v) for k, v in data["versions"].items()},
                usage=None if data.get("usage") is None else Usage.from_dict(data["usage"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"trajectory record is damaged: {type(error).__name__} {error}") from error
        if any(not 0 <= step.parent <= index for index, step in enumerate(steps)):
            raise ValueError("the 'parent' of a step must be an earlier state")
        if not 0 <= trajectory.returned <= len(steps):
            raise ValueError(f"'returned' is {trajectory.returned}, expected 0..{len(steps)}")
        return trajectory


def _start_from_dict(start: dict[str, Any]) -> Start:
    prompts = [action_from_dict(prompt) for prompt in start["prompts"]]
    if not all(isinstance(prompt, Click | Box) for prompt in prompts):
        raise ValueError("the prompts of a start must be clicks or a box")
    return Start(
        str(start["kind"]),
        cast(Rle, start["mask"]),
        start["predicted_iou"],
        start["reward"],
        tuple(prompt for prompt in prompts if isinstance(prompt, Click | Box)),
    )


def _step_from_dict(step: dict[str, Any]) -> Step:
    return Step(
        action=action_from_dict(step["action"]),
        text=str(step["text"]),
        mask=cast(Rle, step["mask"]),
        parent=int(step["parent"]),
        predicted_iou=step["predicted_iou"],
        log_prob=step["log_prob"],
        reward=step["reward"],
        invalid=step["invalid"],
        candidates=tuple(
            Candidate(action_from_dict(c["action"]), str(c["text"]), c["predicted_iou"], _asides_from_dict(c))
            for c in step["candidates"]
        ),
        asides=_asides_from_dict(step),
        tokens=None if step.get("tokens") is None else ReplyTokens.from_dict(step["tokens"]),
    )


def _asides_to_dict(asides: tuple[Aside, ...]) -> dict[str, Any]:
    """Nothing where there are none, so that records of everyone else are what they always were."""
    return {"asides": [{"text": one.text, "why": one.why} for one in asides]} if asides else {}


def _asides_from_dict(data: dict[str, Any]) -> tuple[Aside, ...]:
    return tuple(Aside(str(one["text"]), str(one["why"])) for one in data.get("asides", ()))
