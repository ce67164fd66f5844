"""Work spread over processes of this machine.

Each process makes its own models and computes on one thread, so what comes out does not depend on how many there are.
It is asked through a pipe of its own: which item a dead process was at is known, and no other process is disturbed.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, parent_process
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from segagent.core import SegAgentError
from segagent.distributed.answering import Answers, one_thread, question
from segagent.distributed.devices import use_gpu
from segagent.distributed.lanes import Lanes
from segagent.distributed.ordered import DEATH, Asking, Died, Ending, Ready, asking

_M = TypeVar("_M")
_T = TypeVar("_T")
_R = TypeVar("_R")

_MADE = b""
"""What a worker says before its first answer, once its models are made."""
_MOST_FAILED_STARTS = 3


@contextmanager
def worker_processes(make: Callable[[], _M], workers: int | None) -> Iterator[Asking[_M]]:
    """Where functions that need what ``make`` makes run: ``workers`` processes, or this one for ``workers`` = 1.

    ``make``, functions, items and results must be picklable where there are several. Processes end with this one, even
    if it is killed. With one worker, what ends the process ends this one. None is this process too, where models that
    have ``lanes`` (:class:`Lanes`) are asked by as many threads.
    """
    if workers is None or workers == 1:
        with one_thread():
            models = make()
            lanes: Lanes = (getattr(models, "lanes", None) if workers is None else None) or Lanes()

            def ask_here(
                function: Callable[[_M, _T], _R],
                items: Iterable[_T],
                *,
                died: Callable[[_T], _R] | None = None,
                ready: Ready | None = None,
            ) -> Iterator[_R]:
                with one_thread():
                    prepare = getattr(function, "prepare", None)
                    ahead = None if prepare is None else partial(prepare, models)
                    yield from lanes.map(partial(function, models), items, ready, ahead)

            yield ask_here
        return
    crew = _Processes(make, workers)
    try:
        yield asking(crew)
    finally:
        crew.end()


@dataclass(eq=False)
class _Worker:
    """A process, this end of its pipe, its place among the workers, and the number of what it is at (None: idle).

    ``asked``: what it was asked last. ``started``: whether its models are made.
    """

    process: SpawnProcess
    pipe: connection.Connection
    place: int
    number: int | None = None
    asked: bytes = b""
    started: bool = False


class _Processes:
    """A :class:`segagent.distributed.ordered.Crew` of processes, started when first needed.

    One that dies before its models are made is no item's fault: another one is started for what it was asked, up to
    three times in a row.
    """

    def __init__(self, make: Callable[[], Any], size: int) -> None:
        self.size = size
        self._make = make
        self._workers: list[_Worker] = []
        self._failed_starts = 0

    def idle(self) -> int:
        return self.size - sum(worker.number is not None for worker in self._workers)

    def begin(self, number: int, function: Callable[[Any, Any], Any], item: Any) -> None:
        self._ask(number, question(function, item))

    def _ask(self, number: int, asked: bytes) -> None:
        # One that died while it was idle is no item's fault.
        for gone in [one for one in self._workers if one.number is None and not one.process.is_alive()]:
            self._bury(gone)
        worker = next((one for one in self._workers if one.number is None), None) or self._start()
        worker.number, worker.asked = number, asked
        try:
            worker.pipe.send_bytes(asked)
        except OSError:
            worker.process.kill()  # It is no more; that is noticed where its answer is waited for.

    def wait(self) -> list[tuple[int, Ending]]:
        busy = {one.pipe: one for one in self._workers if one.number is not None}
        ended: list[tuple[int, Ending]] = []
        for pipe in connection.wait(list(busy)):
            worker = busy[pipe]  # type: ignore[index]
            number = worker.number
            assert number is not None
            try:
                said = worker.pipe.recv_bytes()
            except (EOFError, OSError):
                self._bury(worker)
                if worker.started:
                    ended.append((number, Died()))
                else:
                    self._start_again(number, worker.asked)
                continue
            if said == _MADE:
                worker.started, self._failed_starts = True, 0
                continue
            worker.number = None
            ended.append((number, pickle.loads(said)))  # noqa: S301 - our own process
        return ended

    def _start_again(self, number: int, asked: bytes) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _MOST_FAILED_STARTS:
            raise SegAgentError(DEATH)
        self._ask(number, asked)

    def drop(self) -> None:
        for worker in [one for one in self._workers if one.number is not None]:
            self._bury(worker)

    def end(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.process.kill()
        for worker in list(self._workers):
            self._bury(worker)

    def _start(self) -> _Worker:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        taken = {worker.place for worker in self._workers}
        place = next(place for place in range(self.size) if place not in taken)
        process = context.Process(target=_serve, args=(theirs, self._make, place), daemon=True)
        with _interrupts_held():
            process.start()
        theirs.close()
        self._workers.append(_Worker(process, ours, place))
        return self._workers[-1]

    def _bury(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.pipe.close()
        worker.process.kill()
        worker.process.join()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """A process started inside is not hit by an interrupt before it can say that it ignores them."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: connection.Connection, make: Callable[[], Any], place: int) -> None:
    """A worker process: answers until there is nobody left to ask."""
    use_gpu(place)
    # The parent alone decides what an interrupt means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    answers = Answers(make, partial(pipe.send_bytes, _MADE))
    while True:
        try:
            asked = pipe.recv_bytes()
        except (EOFError, OSError):
            return
        pipe.send_bytes(answers(asked))


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def end_with_parent() -> None:
    """Make this process, a child of ``multiprocessing``, end when its parent does, even if that is killed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell; its workers would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
