"""The environment as an Inspect task: a solver that asks the model turn by turn, and a scorer with the true IoU."""

from __future__ import annotations

import base64
from typing import Any

from segagent.core import MissingExtraError
from segagent.envs.annotation_env import AnnotationEnv
from segagent.imaging import encode_png

try:
    from inspect_ai import Task
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageUser, ContentImage, ContentText
    from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
    from inspect_ai.solver import Generate, Solver, TaskState, solver
except ImportError as error:
    raise MissingExtraError("the Inspect face needs inspect_ai: pip install inspect-ai") from error


def inspect_task(env: AnnotationEnv, limit: int | None = None) -> Task:
    """A task of ``env``'s first ``limit`` questions, scored by the IoU of the mask that the episode ends with.

    Each question to the model holds the picture with the mask as it is, and no history, as in the paper.
    """
    asked = list(env.questions)[:limit]
    samples = [Sample(input=one.text, target="", id=one.index, metadata={"index": one.index}) for one in asked]
    return Task(dataset=MemoryDataset(samples, name=env.dataset.spec), solver=clicks(env), scorer=iou_scorer())


@solver
def clicks(env: AnnotationEnv) -> Solver:
    """Plays the episode: one question to the model per action."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        # Samples run side by side; data set and tool are shared, the episode is each one's own.
        own = env.copy()
        turn = own.reset(int(state.metadata["index"]))
        while not (turn.terminated or turn.truncated):
            url = "data:image/png;base64," + base64.b64encode(encode_png(turn.picture)).decode("ascii")
            content: list[Any] = [ContentImage(image=url), ContentText(text=turn.prompt)]
            state.messages = [ChatMessageUser(content=content)]
            state = await generate(state)
            turn = own.act(state.output.completion)
        state.metadata.update(iou=own.iou, actions=turn.num_steps, trajectory=own.trajectory().to_dict())
        state.completed = True
        return state

    return solve


@scorer(metrics=[mean(), stderr()])
def iou_scorer() -> Scorer:
    """The IoU of the last mask with the target, in [0, 1]."""

    async def score(state: TaskState, target: Target) -> Score:
        del target
        told = {"actions": state.metadata["actions"]}
        return Score(value=state.metadata["iou"], answer=state.output.completion, metadata=told)

    return score
