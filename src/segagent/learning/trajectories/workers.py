"""Work spread over processes, its results in order.

Each process makes its own tool and computes on one thread, so what comes out does not depend on how many there are.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache, partial
from multiprocessing import connection, get_context, parent_process
from typing import Any, Protocol, TypeAlias, TypeVar

import cv2

from segagent.core import SegAgentError, SegmentationTool

MakeTool: TypeAlias = Callable[[], SegmentationTool]
"""Makes the tool; it is sent to other processes, so it must be picklable (``partial(make_tool, "embedded")``)."""

_T = TypeVar("_T")
_R = TypeVar("_R")

_QUEUED_PER_WORKER = 2


class Asking(Protocol):
    """Runs functions that need the tool."""

    def __call__(self, function: Callable[[SegmentationTool, _T], _R], items: Iterable[_T]) -> Iterator[_R]:
        """``function(tool, item)`` for each item, in order, few items ahead of what was taken."""
        ...


@contextmanager
def tool_workers(make: MakeTool, workers: int) -> Iterator[Asking]:
    """Where functions that need the tool run: ``workers`` processes, or this one for ``workers`` = 1.

    Functions, items and results must be picklable where there are several. Processes end with this one, even if it is
    killed. Raises ``SegAgentError`` where one of them dies.
    """
    if workers == 1:
        with _one_thread():
            tool = make()

            def ask_here(function: Callable[[SegmentationTool, _T], _R], items: Iterable[_T]) -> Iterator[_R]:
                with _one_thread():
                    for item in items:
                        yield function(tool, item)

            yield ask_here
        return
    executor = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_begin, initargs=(make,))

    def ask(function: Callable[[SegmentationTool, _T], _R], items: Iterable[_T]) -> Iterator[_R]:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(executor.submit(partial(_with_tool, function), item))
                if len(waiting) > _QUEUED_PER_WORKER * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool as error:
            raise SegAgentError(
                "a worker process ended unexpectedly, perhaps for lack of memory; "
                "start the same command again to go on, with fewer workers"
            ) from error

    try:
        yield ask
    finally:
        executor.shutdown(cancel_futures=True)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


_MAKE: list[MakeTool] = []
"""In a worker process: how its tool is made."""


def _begin(make: MakeTool) -> None:
    # The parent alone decides what an interrupt means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    _MAKE[:] = [make]


def end_with_parent() -> None:
    """Make this process, a child of ``multiprocessing``, end when its parent does, even if that is killed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell; its workers would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@lru_cache(maxsize=1)
def _tool() -> SegmentationTool:
    tool = _MAKE[0]()
    _set_torch_threads(1)
    return tool


def _with_tool(function: Callable[[SegmentationTool, _T], _R], item: _T) -> _R:
    return function(_tool(), item)


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV and, once loaded, torch on one thread; afterwards as before."""
    before, torch_before = cv2.getNumThreads(), _set_torch_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
        if torch_before is not None:
            _set_torch_threads(torch_before)


def _set_torch_threads(number: int) -> int | None:
    """Set torch's number of threads if it is loaded; returns what it was."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    before = int(torch.get_num_threads())
    torch.set_num_threads(number)
    return before
