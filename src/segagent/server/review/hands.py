"""The run's tool and policy, in one thread of their own: loaded when first needed, asked by one person at a time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np

from segagent.core import Action, BoolMask, Image, Observation, Policy, Prompt, SegmentationTool, Trajectory
from segagent.core.recent import Recent
from segagent.environment import Episode, StartSpec
from segagent.search import SearchConfig, run_search
from segagent.server.clicking import Clicking
from segagent.server.worker import Patience, Worker

_T = TypeVar("_T")

NUM_EMBEDDINGS = 16
"""Pictures whose embeddings are kept."""
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
        self._clicking = Clicking()
        self._worker = Worker("tool and policy")
        self._wanted: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def prompt(self, image: str, began: BoolMask, prompts: Sequence[Prompt], now: BoolMask, newest: Prompt) -> BoolMask:
        """The tool's mask after ``newest``, bool (height, width).

        ``now`` is the mask that it is given to, which ``prompts`` have made of the one that they ``began`` at. Should
        the tool make another one of them here, ``now`` holds, and the tool begins at it. Raises ``InputError`` where
        the newest cannot be given, and what the tool raises.
        """

        def answer() -> BoolMask:
            def after(mask: BoolMask, given: Sequence[Prompt]) -> BoolMask:
                return self._clicking.after(self._tool, image, lambda: self._embedding(image), mask, given).mask

            if not np.array_equal(after(began, prompts), now):
                return after(now, [newest])
            return after(began, [*prompts, newest])

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
        self._worker.post(self._embed_wanted)

    @cached_property
    def _tool(self) -> SegmentationTool:
        return self._make_tool()

    @cached_property
    def _policy(self) -> Policy:
        return self._make_policy()

    def _now(self, job: Callable[[], _T]) -> _T:
        return self._worker.run(job, Patience())

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
