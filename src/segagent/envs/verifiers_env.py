"""The environment for verifiers v1: a taskset of questions, and an env in which the engine answers each reply.

``vf-eval segagent.envs.verifiers_env --env.taskset.data DATA --env.taskset.tool TOOL`` plays it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from typing import Any

from segagent.core import MissingExtraError
from segagent.environment.rewards import DEFAULT
from segagent.envs.annotation_env import AnnotationEnv, Turn
from segagent.imaging import encode_png

try:
    import verifiers.v1 as vf
except ImportError as error:
    raise MissingExtraError("the verifiers face needs verifiers: pip install verifiers") from error

__all__ = ["AnnotationTaskset", "VerifiersEnv"]


class QuestionData(vf.TaskData):
    """A question by its place in the data set, and where that is; ``prompt`` is left to the env's first turn."""

    index: int
    data: str
    tool: str
    reward: str
    fmt: str
    steps: int


class QuestionTask(vf.Task[QuestionData]):
    """One sentence about one picture; the env scores it."""


class AnnotationConfig(vf.TasksetConfig):
    """What is asked; see :class:`AnnotationEnv`."""

    data: str = "scenes:20:seed=1,split=train"
    tool: str = "embedded"
    reward: str = DEFAULT
    fmt: str = "segagent"
    steps: int = 7


class AnnotationTaskset(vf.Taskset[QuestionTask, AnnotationConfig]):
    """A task for each question of the data set."""

    def load(self) -> Iterator[QuestionTask]:
        """See verifiers."""
        config = self.config
        told = {"data": config.data, "tool": config.tool, "reward": config.reward, "fmt": config.fmt}
        for one in _opened(**told, steps=config.steps).questions:
            data = QuestionData(name=one.sample_id, index=one.index, steps=config.steps, prompt=None, **told)
            yield QuestionTask(data, config.task)


class VerifiersEnvConfig(vf.EnvConfig):
    """``annotator``: who clicks; a plain chat on this machine, for nothing that it writes is carried out."""

    annotator: vf.AgentConfig = vf.AgentConfig(harness={"id": "null"}, runtime=vf.SubprocessConfig())


class VerifiersEnv(vf.Env[VerifiersEnvConfig]):
    """An episode is a conversation: picture and question, a reply, the picture after it, and so on.

    Rewards of the turns add up to ``episode_reward`` of the trace; its metrics ``iou`` and ``actions`` are those of the
    mask that the episode ends with.
    """

    async def run(self, task: QuestionTask, agents: Any) -> None:
        """See verifiers."""
        asked = task.data
        env = _opened(asked.data, asked.tool, asked.reward, asked.fmt, asked.steps).copy()
        turn, earned = env.reset(asked.index), 0.0
        async with agents.annotator.interaction(task) as interaction:
            while not (turn.terminated or turn.truncated):
                segment = await interaction.turn([{"role": "user", "content": _content(turn)}])
                if segment.terminated:
                    break
                turn = env.act(segment.last_reply)
                earned += turn.reward
        trace = interaction.trace
        trace.record_reward("episode_reward", earned)
        trace.record_metric("iou", env.iou)
        trace.record_metric("actions", float(turn.num_steps))


@cache
def _opened(data: str, tool: str, reward: str, fmt: str, steps: int) -> AnnotationEnv:
    return AnnotationEnv(data, tool, reward=reward, fmt=fmt, max_steps=steps)


def _content(turn: Turn) -> list[dict[str, Any]]:
    url = "data:image/png;base64," + base64.b64encode(encode_png(turn.picture)).decode("ascii")
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": turn.prompt}]
