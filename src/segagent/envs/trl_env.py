"""The environment for TRL's ``environment_factory``: a class whose public methods are the model's tools."""

from __future__ import annotations

from typing import Any, ClassVar

from PIL import Image as PillowImage

from segagent.core import Action, Click, Finish, SegmentationTool, Undo
from segagent.datasets import Dataset
from segagent.environment.rewards import DEFAULT, Reward
from segagent.envs.annotation_env import AnnotationEnv, Turn
from segagent.policies.chat.templates import quote

Content = list[dict[str, Any]]
"""A tool's answer: a picture and a text, as TRL hands them to the processor."""


def trl_environment(
    data: str | Dataset,
    tool: str | SegmentationTool = "embedded",
    *,
    reward: str | Reward = DEFAULT,
    max_steps: int = 7,
) -> type[TrlEnvironment]:
    """The class for ``GRPOTrainer(environment_factory=...)``; rows of the trainer's data set name the question.

    :func:`trl_rows` makes these rows. Data set and tool are opened with the first instance. For the arguments see
    :class:`AnnotationEnv`.
    """

    class AnnotationEnvironment(TrlEnvironment):
        _settings: ClassVar = {"data": data, "tool": tool, "reward": reward, "max_steps": max_steps}

    return AnnotationEnvironment


def trl_rows(env: AnnotationEnv) -> list[dict[str, Any]]:
    """A row for each question: ``prompt``, a conversation with the instructions, and ``index``."""
    prompt = [{"role": "user", "content": [{"type": "text", "text": INSTRUCTIONS}]}]
    return [{"prompt": prompt, "index": one.index} for one in env.questions]


INSTRUCTIONS = (
    "Make a segmentation mask by clicks. Click on parts of the object that the green layer misses (click_object) and "
    "on parts beside the object that it covers (click_background), and call finish when the layer covers the object "
    "and nothing else. Coordinates are pixels, x to the right and y down."
)


class TrlEnvironment:
    """One rollout's environment; see :func:`trl_environment`. Its public methods are tools, but for two."""

    _settings: ClassVar[dict[str, Any]] = {}
    _shared: ClassVar[dict[type, dict[str, Any]]] = {}  # The data set and the tool, opened once.

    def __init__(self) -> None:
        opened = self._shared.setdefault(type(self), {})
        made = AnnotationEnv(**{**self._settings, **opened})
        opened.update(data=made.dataset, tool=made.tool)
        self._env = made
        self._turn: Turn | None = None
        self._earned = 0.0

    def reset(self, **row: Any) -> Content:
        """Begin the episode of a row; gives what is added to the prompt: what is asked, and the picture.

        There is one in every prompt, also because TRL 1.16 ends with an error where some rollouts of a batch have seen
        pictures and others, which are asked on, have not.
        """
        self._earned = 0.0
        self._turn = self._env.reset(int(row["index"]))
        image = self._env.episode.image
        words = f"\nThe picture is {image.width} x {image.height}. Object: {quote(self._env.episode.text)}"
        return [{"type": "text", "text": words}, {"type": "image", "image": PillowImage.fromarray(self._turn.picture)}]

    def click_object(self, x: int, y: int) -> Content:
        """Click on a part of the object that the green layer misses.

        Args:
            x: Pixels from the left.
            y: Pixels from the top.

        Returns:
            The picture with the new mask.
        """
        return self._act(Click(int(x), int(y), True))

    def click_background(self, x: int, y: int) -> Content:
        """Click on a part beside the object that the green layer covers.

        Args:
            x: Pixels from the left.
            y: Pixels from the top.

        Returns:
            The picture with the new mask.
        """
        return self._act(Click(int(x), int(y), False))

    def undo(self) -> Content:
        """Take the last click back.

        Returns:
            The picture with the mask before.
        """
        return self._act(Undo())

    def finish(self) -> str:
        """Say that the mask is right.

        Returns:
            That the episode is over.
        """
        self._act(Finish())
        return "finished"

    def get_reward(self) -> float:
        """The episode's reward so far."""
        return self._earned

    def _act(self, action: Action) -> Content:
        if self._turn is None or self._turn.terminated or self._turn.truncated:
            raise ValueError("the episode is over; no further call is possible")
        self._turn = self._env.act(action)
        self._earned += self._turn.reward
        return self._answer()

    def _answer(self) -> Content:
        assert self._turn is not None
        turn = self._turn
        words = f"This was not possible: {turn.invalid}. " if turn.invalid else ""
        left = self._env.max_steps - turn.num_steps
        words += "The episode is over." if turn.terminated or turn.truncated else f"{left} actions are left."
        return [{"type": "image", "image": PillowImage.fromarray(turn.picture)}, {"type": "text", "text": words}]
