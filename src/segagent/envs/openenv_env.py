"""The environment as an OpenEnv server and client: typed actions and observations over a web socket."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from typing import Any

from segagent.core import MissingExtraError
from segagent.envs.annotation_env import AnnotationEnv, Turn
from segagent.imaging import encode_png

try:
    from openenv.core.client_types import StepResult
    from openenv.core.env_client import EnvClient
    from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
except ImportError as error:
    raise MissingExtraError("the OpenEnv face needs openenv-core: pip install openenv-core") from error


class ReplyAction(Action):
    """What the policy writes, for example ``Current IoU: 40. Positive point: (12, 30)``."""

    reply: str


class MaskObservation(Observation):
    """``prompt``: what is asked; ``picture``: the image with the mask drawn in, a PNG file in base64; ``invalid``: why
    the last action could not be carried out, empty where it was.
    """

    prompt: str = ""
    picture: str = ""
    width: int = 0
    height: int = 0
    invalid: str = ""


class AnnotationState(State):
    """``index``: the question's place in the data set."""

    index: int = -1


class OpenEnvEnvironment(Environment):
    """One session's environment; ``make`` makes what it is a face of."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, make: Callable[[], AnnotationEnv]) -> None:
        super().__init__()
        self._env = make()
        self._next = 0
        self._state = AnnotationState(episode_id="", step_count=0)

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> MaskObservation:
        """Begin an episode about question ``index``, else the ``seed``-th, else the next one."""
        number = self._env.num_questions
        asked = kwargs.get("index", seed)
        index = (self._next if asked is None else int(asked)) % number
        self._next = index + 1
        self._state = AnnotationState(episode_id=episode_id or str(uuid.uuid4()), step_count=0, index=index)
        return self._seen(self._env.reset(index), None)

    def step(self, action: ReplyAction, timeout_s: float | None = None, **kwargs: Any) -> MaskObservation:
        """Carry out a reply."""
        del timeout_s, kwargs
        turn = self._env.act(action.reply)
        self._state.step_count = turn.num_steps
        return self._seen(turn, turn.reward)

    @property
    def state(self) -> AnnotationState:
        """Where the episode is."""
        return self._state

    def _seen(self, turn: Turn, reward: float | None) -> MaskObservation:
        height, width = turn.observation.mask.shape
        return MaskObservation(
            done=turn.terminated or turn.truncated,
            reward=reward,
            prompt=turn.prompt,
            picture=base64.b64encode(encode_png(turn.picture)).decode("ascii"),
            width=width,
            height=height,
            invalid=turn.invalid or "",
        )


def openenv_app(make: Callable[[], AnnotationEnv], sessions: int = 4) -> Any:
    """The FastAPI application for ``sessions`` clients at a time, each with an environment that ``make`` makes."""
    return create_fastapi_app(
        lambda: OpenEnvEnvironment(make), ReplyAction, MaskObservation, max_concurrent_envs=sessions
    )


class OpenEnvClient(EnvClient[ReplyAction, MaskObservation, AnnotationState]):
    """``OpenEnvClient(base_url="http://127.0.0.1:8000")``."""

    def _step_payload(self, action: ReplyAction) -> dict[str, Any]:
        return {"reply": action.reply}

    def _parse_result(self, payload: dict[str, Any]) -> StepResult[MaskObservation]:
        told = payload.get("observation", {})
        reward, done = payload.get("reward"), bool(payload.get("done", False))
        seen = MaskObservation(**{**told, "reward": reward, "done": done})
        return StepResult(observation=seen, reward=reward, done=done)

    def _parse_state(self, payload: dict[str, Any]) -> AnnotationState:
        return AnnotationState(**payload)
