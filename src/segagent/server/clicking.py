"""States after clicks, kept so that the next click need not repeat those before it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from segagent.core import BoolMask, InputError, Prompt, SegmentationTool, State, frozen_mask
from segagent.core.recent import Recent
from segagent.environment import step, why_invalid

_Key: TypeAlias = tuple[str, bytes, tuple[Prompt, ...]]
"""A picture, what names the mask that the prompts began at, and the prompts."""

MOST_BYTES = 256 << 20
"""Of memory that states may take, about."""
_MEMORY = 1 << 20
"""What a tool's own memory of a state is taken to weigh."""


class Clicking:
    """See the module. Safe to use from several threads."""

    def __init__(self) -> None:
        self._states: Recent[_Key, State] = Recent(MOST_BYTES, lambda state: state.mask.nbytes + _MEMORY)

    def after(
        self,
        tool: SegmentationTool,
        picture: str,
        embedding: Callable[[], object],
        began: BoolMask,
        prompts: Sequence[Prompt],
    ) -> State:
        """The state after ``prompts``, given one after the other to the mask that they ``began`` at.

        Args:
            tool: what answers them, always the same one.
            picture: its name.
            embedding: the tool's embedding of the picture, made only where it is needed.
            began: bool (height, width) of the picture.
            prompts: oldest first.

        Raises ``InputError`` where one cannot be given, and what the tool raises.
        """
        asked = tuple(prompts)
        digest = hashlib.blake2b(np.packbits(began).tobytes(), digest_size=16).digest()
        state, done = State(frozen_mask(began)), 0
        for known in range(len(asked), 0, -1):
            found = self._states.get((picture, digest, asked[:known]))
            if found is not None:
                state, done = found, known
                break
        for number, prompt in enumerate(asked[done:], done + 1):
            if (reason := why_invalid(state, prompt, tool)) is not None:
                raise InputError(reason)
            state = replace(step(embedding(), state, prompt, tool), previous=None)
            self._states.put((picture, digest, asked[:number]), state)
        return state
