"""The run's tool and policy, in one thread of their own: loaded when first needed, asked by one person at a time."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import cached_property
from typing import TypeAlias, TypeVar

import numpy as np

from segagent.core import (
    Action,
    BoolMask,
    Image,
    InputError,
    Observation,
    Policy,
    Prompt,
    SegAgentError,
    SegmentationTool,
    State,
    ToolError,
    Trajectory,
    frozen_mask,
)
from segagent.core.recent import Recent
from segagent.environment import Episode, StartSpec, step, why_invalid
from segagent.search import SearchConfig, run_search

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_Key: TypeAlias = tuple[str, bytes, tuple[Prompt, ...]]
"""A picture, what names the mask that the prompts began at, and the prompts."""

NUM_EMBEDDINGS = 16
"""Pictures whose embeddings are kept."""
NUM_STATES = 32
"""States after clicks that are kept, so that the next click need not repeat those before it."""
_NOW, _SOON = 0, 1
_FIRST_LOOK = 0.5
"""Seconds that loading the tool waits when nobody has clicked yet: it would slow down the page's first pictures."""


class Hands:
    """Answers clicks and asks the policy. All its methods may be called by any thread; they wait for their turn.

    Args:
        make_tool: makes the tool, in the thread that uses it.
        make_policy: makes the policy.
        load_image: the picture of an image's name; raises ``InputError``.
    """

    def __init__(
        self,
        make_tool: Callable[[], SegmentationTool],
        make_policy: Callable[[], Policy],
        load_image: Callable[[str], Image],
    ) -> None:
        self._make_tool, self._make_policy, self._load_image = make_tool, make_policy, load_image
        self._embeddings: Recent[str, object] = Recent(NUM_EMBEDDINGS)
        self._states: Recent[_Key, State] = Recent(NUM_STATES)
        self._turns = itertools.count()
        self._jobs: queue.PriorityQueue[tuple[int, int, Callable[[], None]]] = queue.PriorityQueue()
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        threading.Thread(target=self._work, name="tool and policy", daemon=True).start()

    def prompt(self, image: str, began: BoolMask, prompts: Sequence[Prompt], now: BoolMask, newest: Prompt) -> BoolMask:
        """The tool's mask after ``newest``, bool (height, width).

        ``now`` is the mask that it is given to, which ``prompts`` have made of the one that they ``began`` at. Should
        the tool make another one of them here, ``now`` holds, and the tool begins at it. Raises ``InputError`` where
        the newest cannot be given, and what the tool raises.
        """

        def answer() -> BoolMask:
            state = self._after(image, began, tuple(prompts))
            if not np.array_equal(state.mask, now):
                return self._after(image, now, (newest,)).mask
            return self._after(image, began, (*prompts, newest)).mask

        return self._now(answer)

    def go_on(self, image: str, text: str, mask: BoolMask, steps: int) -> Trajectory:
        """What the policy makes of ``mask`` in at most ``steps``, with the tool."""

        def play() -> Trajectory:
            episode = Episode(self._load_image(image), text, image_name=image, start=StartSpec("mask", mask=mask))
            config = SearchConfig(max_steps=steps)
            return run_search([episode], self._policy, self._tool, config, [self._embedding(image)])[0]

        return self._now(play)

    def suggest(self, image: str, text: str, mask: BoolMask) -> tuple[Action, float | None]:
        """The policy's next action for ``mask``, and what IoU it predicts of the mask as it is."""

        def ask() -> tuple[Action, float | None]:
            proposal = self._policy.propose([Observation(self._load_image(image), text, mask)])[0][0]
            return proposal.action, proposal.predicted_iou

        return self._now(ask)

    def tool_name(self) -> str:
        """What the tool calls itself in records."""
        return self._now(lambda: self._tool.name)

    def prefetch(self, image: str) -> None:
        """Embed a picture when nothing else is to be done; a few are remembered, the last ones asked for."""
        with self._lock:
            self._wanted[image] = None
            self._wanted.move_to_end(image)
            while len(self._wanted) > NUM_EMBEDDINGS // 2:
                self._wanted.popitem(last=False)
        self._jobs.put((_SOON, next(self._turns), self._embed_wanted))

    @cached_property
    def _tool(self) -> SegmentationTool:
        return self._make_tool()

    @cached_property
    def _policy(self) -> Policy:
        return self._make_policy()

    def _now(self, job: Callable[[], _T]) -> _T:
        answer: Future[_T] = Future()

        def run() -> None:
            try:
                answer.set_result(job())
            except SegAgentError as error:
                answer.set_exception(error)
            except Exception as error:  # noqa: BLE001 - whatever a model raises is no fault of the server
                _log.exception("the tool or the policy failed")
                answer.set_exception(
                    ToolError(f"the tool or the policy failed ({type(error).__name__}: {error!s:.200})")
                )

        self._jobs.put((_NOW, next(self._turns), run))
        return answer.result()

    def _work(self) -> None:
        while True:
            self._jobs.get()[2]()

    def _embed_wanted(self) -> None:
        if "_tool" not in self.__dict__:
            time.sleep(_FIRST_LOOK)
        with self._lock:
            image = next(iter(self._wanted), None)
            self._wanted.pop(image or "", None)
        if image is not None:
            # Nobody waits for it; who clicks is told.
            with contextlib.suppress(Exception):
                self._embedding(image)

    def _embedding(self, image: str) -> object:
        return self._embeddings.made(image, lambda: self._tool.embed([self._load_image(image)])[0])

    def _after(self, image: str, began: BoolMask, prompts: tuple[Prompt, ...]) -> State:
        digest = hashlib.blake2b(np.packbits(began).tobytes(), digest_size=16).digest()
        state, done = State(frozen_mask(began)), 0
        for known in range(len(prompts), 0, -1):
            found = self._states.get((image, digest, prompts[:known]))
            if found is not None:
                state, done = found, known
                break
        for number, prompt in enumerate(prompts[done:], done + 1):
            if (reason := why_invalid(state, prompt, self._tool)) is not None:
                raise InputError(reason)
            state = replace(step(self._embedding(image), state, prompt, self._tool), previous=None)
            self._states.put((image, digest, prompts[:number]), state)
        return state
