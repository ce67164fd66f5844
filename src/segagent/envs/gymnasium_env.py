"""The environment as a Gymnasium one: five-tuple steps, spaces of one fixed size, checked by ``check_env``."""

from __future__ import annotations

import string
from typing import Any

import cv2
import numpy as np

from segagent.core import Action, BoolMask, Click, Finish, MissingExtraError, Pixels, Undo
from segagent.envs.annotation_env import AnnotationEnv, Turn

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise MissingExtraError("the Gymnasium face needs gymnasium: pip install gymnasium") from error

POSITIVE, NEGATIVE, FINISH, UNDO = range(4)
"""Kinds of actions."""

_LETTERS = string.ascii_letters + string.digits + string.punctuation + " "
_MOST_LETTERS = 500


class GymnasiumEnv(gymnasium.Env):
    """One sentence about one picture per episode.

    An observation is ``image``, uint8 (side, side, 3), the picture squeezed to a square; ``mask``, the current mask,
    the same, 0 or 1; ``text``, the sentence in printable ASCII (as it is in ``info["text"]``). An action is ``kind``,
    one of :data:`POSITIVE`, :data:`NEGATIVE`, :data:`FINISH`, :data:`UNDO`, and ``point``, (x, y) as fractions of the
    picture's width and height in [0, 1]. ``info`` has the picture in full, never the IoU.

    Args:
        env: whose face this is.
        side: of pictures and masks in an observation, in pixels.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 1}  # noqa: RUF012 - Gymnasium's own form

    def __init__(self, env: AnnotationEnv, side: int = 224, render_mode: str | None = "rgb_array") -> None:
        self.env = env
        self.side = side
        self.render_mode = render_mode
        self._turn: Turn | None = None
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (side, side, 3), np.uint8),
                "mask": spaces.Box(0, 1, (side, side), np.uint8),
                "text": spaces.Text(_MOST_LETTERS, min_length=0, charset=_LETTERS),
            }
        )
        self.action_space = spaces.Dict({"kind": spaces.Discrete(4), "point": spaces.Box(0.0, 1.0, (2,), np.float32)})

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode: about question ``options["index"]``, or one drawn by the environment's own generator."""
        super().reset(seed=seed)
        chosen = (options or {}).get("index")
        index = int(self.np_random.integers(self.env.num_questions)) if chosen is None else int(chosen)
        self._turn = self.env.reset(index)
        return self._seen(self._turn), self._info(self._turn, index=index)

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """See Gymnasium; an invalid action costs a step and changes nothing."""
        self._turn = turn = self.env.act(self.meant(action))
        return self._seen(turn), turn.reward, turn.terminated, turn.truncated, self._info(turn)

    def meant(self, action: dict[str, Any]) -> Action:
        """The annotator's action that a Gymnasium action is."""
        kind, point = int(action["kind"]), action["point"]
        if kind == FINISH:
            return Finish()
        if kind == UNDO:
            return Undo()
        image = self.env.episode.image
        x = min(int(float(point[0]) * image.width), image.width - 1)
        y = min(int(float(point[1]) * image.height), image.height - 1)
        return Click(x, y, kind == POSITIVE)

    def render(self) -> Pixels | None:
        """The picture with the mask drawn in green, uint8 (height, width, 3)."""
        return None if self._turn is None else self._turn.picture

    def _seen(self, turn: Turn) -> dict[str, Any]:
        shape = (self.side, self.side)
        seen = turn.observation
        mask: BoolMask = seen.mask
        text = "".join(letter if letter in _LETTERS else "?" for letter in seen.text)[:_MOST_LETTERS]
        return {
            "image": cv2.resize(seen.image.pixels, shape, interpolation=cv2.INTER_AREA),
            "mask": cv2.resize(mask.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST),
            "text": text,
        }

    def _info(self, turn: Turn, **more: Any) -> dict[str, Any]:
        return {"text": turn.observation.text, "picture": turn.picture, "invalid": turn.invalid or "", **more}
