"""Work spread over processes, its results in order.

Each process makes its own models and computes on one thread, so what comes out does not depend on how many there are.
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
from typing import Any, Protocol, TypeVar

import cv2

from segagent.core import SegAgentError

_M = TypeVar("_M")
_M_co = TypeVar("_M_co", covariant=True)
_T = TypeVar("_T")
_R = TypeVar("_R")

_QUEUED_PER_WORKER = 2
_MOST_DEATHS_IN_A_ROW = 3


class Asking(Protocol[_M_co]):
    """Runs functions that need the models."""

    def __call__(
        self,
        function: Callable[[_M_co, _T], _R],
        items: Iterable[_T],
        *,
        died: Callable[[_T], _R] | None = None,
    ) -> Iterator[_R]:
        """``function(models, item)`` for each item, in order, few items ahead of what was taken.

        Where a process dies, the items that it may have been at are tried again, one by one. An item that ends a
        process when it is alone too gets ``died(item)``; without ``died`` the first death raises ``SegAgentError``, as
        do several items in a row that die alone: then it is not the items' fault.
        """
        ...


@contextmanager
def worker_processes(make: Callable[[], _M], workers: int) -> Iterator[Asking[_M]]:
    """Where functions that need what ``make`` makes run: ``workers`` processes, or this one for ``workers`` = 1.

    ``make``, functions, items and results must be picklable where there are several. Processes end with this one, even
    if it is killed.
    """
    if workers == 1:
        with _one_thread():
            models = make()

            def ask_here(
                function: Callable[[_M, _T], _R], items: Iterable[_T], *, died: Callable[[_T], _R] | None = None
            ) -> Iterator[_R]:
                with _one_thread():
                    for item in items:
                        yield function(models, item)

            yield ask_here
        return
    pool = _Pool(make, workers)

    def ask(
        function: Callable[[_M, _T], _R], items: Iterable[_T], *, died: Callable[[_T], _R] | None = None
    ) -> Iterator[_R]:
        return _in_order(pool, partial(_with_models, function), items, died)

    try:
        yield ask
    finally:
        pool.executor.shutdown(cancel_futures=True)


class _Pool:
    """An executor that can be replaced after one of its processes died."""

    def __init__(self, make: Callable[[], Any], workers: int) -> None:
        self.workers = workers
        self._make = make
        self.executor = self._new()

    def renew(self) -> None:
        """New processes for the broken ones."""
        self.executor.shutdown(cancel_futures=True)
        self.executor = self._new()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_begin, initargs=(self._make,))


def _in_order(
    pool: _Pool, function: Callable[[_T], _R], items: Iterable[_T], died: Callable[[_T], _R] | None
) -> Iterator[_R]:
    waiting: deque[tuple[_T, Future[_R] | None]] = deque()

    def submit(item: _T) -> Future[_R] | None:
        try:
            return pool.executor.submit(function, item)
        except BrokenProcessPool:
            return None  # Found out by whoever takes the result of an earlier item, or of this one.

    deaths = 0

    def take() -> _R:
        nonlocal deaths
        item, future = waiting.popleft()
        try:
            if future is not None:
                result = future.result()
                deaths = 0
                return result
        except BrokenProcessPool:
            pass
        if died is None:
            raise SegAgentError(_DEATH)
        # Which of the items under way did it is not known, so this one is tried again with nobody else at work.
        pool.renew()
        try:
            result = pool.executor.submit(function, item).result()
            deaths = 0
        except BrokenProcessPool as error:
            deaths += 1
            if deaths >= _MOST_DEATHS_IN_A_ROW:
                raise SegAgentError(_DEATH) from error
            pool.renew()
            result = died(item)
        for place, (other, earlier) in enumerate(waiting):
            if earlier is None or not earlier.done() or earlier.cancelled() or earlier.exception() is not None:
                waiting[place] = (other, submit(other))
        return result

    for item in items:
        waiting.append((item, submit(item)))
        if len(waiting) > _QUEUED_PER_WORKER * pool.workers:
            yield take()
    while waiting:
        yield take()


_DEATH = (
    "a worker process ended unexpectedly, perhaps for lack of memory; "
    "start the same command again to go on, with fewer workers"
)


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


_MAKE: list[Callable[[], Any]] = []
"""In a worker process: how its models are made."""


def _begin(make: Callable[[], Any]) -> None:
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
def _models() -> Any:
    models = _MAKE[0]()
    _set_torch_threads(1)
    return models


def _with_models(function: Callable[[Any, _T], _R], item: _T) -> _R:
    return function(_models(), item)


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
