"""Work of which most is waiting for a server, done side by side by threads of this process: results in order.

A policy behind a server is slow to answer and does not mind being asked many things at once. So each image is worked on
by a thread of its own, as many as the policy takes questions. All else is bounded: pictures are loaded one at a time,
as long as there is room for them, and the tool is used by one thread at a time, or where it says that it bears more
(``thread_safe``), by as many as there are cores.

Everything else is worked on one item after the other, each made ready by a second thread while the one before is worked
on.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import Any, TypeVar

import cv2

from segagent.core import Image, Segmentation, SegmentationTool, SegmentRequest
from segagent.core.ahead import one_ahead
from segagent.core.extensions import keep_origin
from segagent.distributed.ordered import Ready

_T = TypeVar("_T")
_R = TypeVar("_R")
_END = object()

ROOM = 100_000_000
"""Pixels of pictures that may be at work at once. What is kept of one between two questions is about 15 bytes."""


class Lanes:
    """``count`` threads; one means the thread that asks. ``room``: pixels at once, except that one item always fits."""

    def __init__(self, count: int = 1, room: int = ROOM) -> None:
        self.count = count
        self._room = room
        self._loading = threading.Lock()
        self._using = threading.BoundedSemaphore(1)
        self._using_many = threading.BoundedSemaphore(os.cpu_count() or 1)
        self._change = threading.Condition()
        self._held = 0
        self._active = 0
        self._clock = 0.0
        self._read = time.perf_counter()

    def map(
        self,
        function: Callable[..., _R],
        items: Iterable[_T],
        ready: Ready | None = None,
        prepare: Callable[[_T], Any] | None = None,
    ) -> Iterator[_R]:
        """``function(item)`` for each item, in order; at most twice as many items as threads ahead of what was taken.

        What one raises is raised in its place; those under way then end by themselves and are forgotten. ``ready`` and
        ``prepare``: see :class:`segagent.distributed.ordered.Asking`; several threads need no ``prepare``, for some
        work while others wait.
        """
        if self.count == 1:
            alone: Generator[tuple[Any, ...], None, None] = ((item,) for item in items)
            if prepare is not None:
                alone = one_ahead((item, prepare(item)) for item in items)
            with closing(alone):
                for arguments in alone:
                    if ready is not None and not ready(0):
                        return
                    yield function(*arguments)
            return
        jobs: SimpleQueue[tuple[Future[_R], Any] | None] = SimpleQueue()
        waiting: deque[Future[_R]] = deque()
        threads = 0
        source: Iterator[Any] = iter(items)
        before = cv2.getNumThreads()
        cv2.setNumThreads(1)  # Threads that divide their small work among still more of them wait for each other.
        try:
            while True:
                while len(waiting) < 2 * self.count and (ready is None or ready(len(waiting))):
                    with self._loading:  # Items may come from the file that pictures are loaded from.
                        found = next(source, _END)
                    if found is _END:
                        break
                    waiting.append(Future())
                    jobs.put((waiting[-1], found))
                    if threads < self.count:
                        threads += 1
                        # Daemons: a command that is stopped does not wait for a server.
                        threading.Thread(target=self._work, args=(function, jobs), daemon=True).start()
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            cv2.setNumThreads(before)
            for future in waiting:
                future.cancel()
            for _ in range(threads):
                jobs.put(None)

    def clock(self) -> float:
        """Seconds, from whenever, of which each thread at work gets its share: what threads take adds up to the time
        that passes.
        """
        if self.count == 1:
            return time.perf_counter()
        with self._change:
            return self._tick()

    @contextmanager
    def holding(self, load: Callable[[], _T], pixels: Callable[[_T], int]) -> Iterator[_T]:
        """What ``load`` loads, once there is room for so many ``pixels``; nobody else loads or waits meanwhile."""
        if self.count == 1:
            yield load()
            return
        with self._loading:
            loaded = load()
            needed = pixels(loaded)
            with self._change:
                self._change.wait_for(lambda: not self._held or self._held + needed <= self._room)
                self._held += needed
        try:
            yield loaded
        finally:
            with self._change:
                self._held -= needed
                self._change.notify_all()

    def in_turns(self, tool: SegmentationTool) -> SegmentationTool:
        """``tool``, used by no more threads at a time than it bears."""
        many = getattr(tool, "thread_safe", False)
        return tool if self.count == 1 else _TakingTurns(tool, self._using_many if many else self._using)

    def _work(self, function: Callable[[Any], Any], jobs: SimpleQueue[Any]) -> None:
        while (job := jobs.get()) is not None:
            future, item = job
            if not future.set_running_or_notify_cancel():
                continue
            self._begin(1)
            try:
                made = function(item)
            except BaseException as error:  # noqa: BLE001 - raised again where the result is taken
                self._begin(-1)
                future.set_exception(error)
            else:
                self._begin(-1)
                future.set_result(made)

    def _begin(self, change: int) -> None:
        with self._change:
            self._tick()
            self._active += change

    def _tick(self) -> float:
        now = time.perf_counter()
        self._clock += (now - self._read) / max(self._active, 1)
        self._read = now
        return self._clock


class _TakingTurns:
    """A tool that few may use at once."""

    def __init__(self, tool: SegmentationTool, lock: threading.BoundedSemaphore) -> None:
        self._tool = tool
        self._lock = lock
        self.name = tool.name
        self.accepts_box = tool.accepts_box
        keep_origin(self, tool)

    def embed(self, images: Sequence[Image]) -> list[object]:
        """See :class:`segagent.core.SegmentationTool`."""
        with self._lock:
            return self._tool.embed(images)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        """See :class:`segagent.core.SegmentationTool`."""
        with self._lock:
            return self._tool.segment(requests)
