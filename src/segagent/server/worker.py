"""Threads that models work in, and the questions that wait for them: those that go together are asked in one call."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from segagent.core import SegAgentError, ToolError

_Q = TypeVar("_Q")
_A = TypeVar("_A")
_log = logging.getLogger(__name__)

MOST_TOGETHER = 16
"""Questions in one call of a model: enough to gain by it, and memory stays bounded."""
AT_LEISURE = -math.inf
"""The head start of what is done when nothing else is to be done."""


class OverdueError(SegAgentError):
    """The answer did not come in the time that its asker had."""


@dataclass(eq=False)
class Patience:
    """How long an asker waits: so many ``seconds`` from now, and not any more once they are ``gone``."""

    seconds: float = math.inf
    gone: bool = False
    began: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> float:
        """Seconds that are left, not below 0."""
        return 0.0 if self.gone else max(self.began + self.seconds - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise ``OverdueError`` where nothing is left."""
        if self.left <= 0:
            raise OverdueError(f"there was no answer within {self.seconds:g} seconds")


@dataclass(eq=False)
class _Asked:
    due: float
    key: Hashable
    answer: Callable[[list[Any]], Sequence[Any]]
    questions: list[Any]
    patience: Patience
    future: Future[list[Any]] = field(default_factory=Future)


class Worker:
    """Asks a model, in ``threads`` of its own, what any other threads want to know of it.

    What waits under the same key is asked in one call, the longest waiting first. ``calls`` and ``questions`` count.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._threads = threads
        self._waiting: list[_Asked] = []
        self._there = threading.Condition()
        self._closed = False
        self.calls = self.questions = 0
        for number in range(threads):
            threading.Thread(target=self._work, name=f"{name} {number}", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many questions nobody has begun to answer."""
        with self._there:
            return sum(len(one.questions) for one in self._waiting)

    def ask(
        self,
        key: Hashable,
        answer: Callable[[list[_Q]], Sequence[_A]],
        questions: Sequence[_Q],
        patience: Patience,
        *,
        head_start: float = 0.0,
    ) -> list[_A]:
        """The answers to ``questions``, in order.

        Args:
            key: what is asked under the same key may be answered by one call, of whoever's ``answer``.
            answer: gives one answer for each question, in order; it is called in a thread of the worker's.
            questions: there may be none.
            patience: of the asker.
            head_start: seconds by which it goes before others.

        Raises ``OverdueError``, and what ``answer`` raises for these questions alone, as ``ToolError`` where it is none
        of our errors.
        """
        if not questions:
            return []
        patience.check()
        asked = self._put(key, answer, questions, patience, head_start)
        try:
            found = asked.future.result(None if math.isinf(patience.seconds) else patience.left)
        except TimeoutError as error:
            patience.gone = True
            raise OverdueError(f"there was no answer within {patience.seconds:g} seconds") from error
        return cast(list[_A], found)

    def run(self, job: Callable[[], _A], patience: Patience, *, head_start: float = 0.0) -> _A:
        """What ``job`` gives, done in a thread of the worker's; raises as :meth:`ask` does."""
        return self.ask(object(), lambda _: [job()], [None], patience, head_start=head_start)[0]

    def post(self, job: Callable[[], object]) -> None:
        """Do ``job`` when nothing else is to be done. Nobody hears of its errors."""
        self._put(object(), lambda _: [job()], [None], Patience(), AT_LEISURE)

    def close(self) -> None:
        """End the threads; what still waits is overdue."""
        with self._there:
            self._closed = True
            left, self._waiting = self._waiting, []
            self._there.notify_all()
        for one in left:
            one.future.set_exception(OverdueError("the server stops"))

    def _put(
        self,
        key: Hashable,
        answer: Callable[[list[Any]], Sequence[Any]],
        questions: Sequence[Any],
        patience: Patience,
        head_start: float,
    ) -> _Asked:
        asked = _Asked(time.monotonic() - head_start, key, answer, list(questions), patience)
        with self._there:
            if self._closed:
                raise OverdueError("the server stops")
            self._waiting.append(asked)
            self._there.notify()
        return asked

    def _work(self) -> None:
        while True:
            with self._there:
                while not self._waiting and not self._closed:
                    self._there.wait()
                if self._closed:
                    return
                taken = self._taken()
            wanted = [one for one in taken if one.patience.left > 0]
            for one in taken:
                if one.patience.left <= 0:
                    one.future.set_exception(OverdueError("nobody waits for the answer any more"))
            self._answer(wanted)

    def _taken(self) -> list[_Asked]:
        """What is asked next: the longest waiting and what goes with it, of which other threads get their share."""
        first = min(self._waiting, key=lambda one: one.due)
        alike = sorted((one for one in self._waiting if one.key == first.key), key=lambda one: one.due)
        taken: list[_Asked] = []
        for one in alike[: math.ceil(len(alike) / self._threads)]:
            if taken and sum(len(other.questions) for other in taken) + len(one.questions) > MOST_TOGETHER:
                break
            taken.append(one)
        self._waiting = [one for one in self._waiting if one not in taken]
        return taken

    def _answer(self, asked: Sequence[_Asked]) -> None:
        if not asked:
            return
        questions = [question for one in asked for question in one.questions]
        with self._there:
            self.calls += 1
            self.questions += len(questions)
        try:
            answers = asked[0].answer(questions)
            if len(answers) != len(questions):
                raise ToolError(f"a model gave {len(answers)} answers to {len(questions)} questions")
        except Exception as error:  # noqa: BLE001 - whatever a model raises is no fault of the server
            if len(asked) > 1:
                for one in asked:  # One that cannot be answered takes no other with it.
                    self._answer([one])
                return
            asked[0].future.set_exception(_ours(error))
            return
        place = 0
        for one in asked:
            one.future.set_result(list(answers[place : place + len(one.questions)]))
            place += len(one.questions)


def _ours(error: Exception) -> SegAgentError:
    if isinstance(error, SegAgentError):
        return error
    _log.error("a model failed", exc_info=error)
    return ToolError(f"the tool or the policy failed ({type(error).__name__}: {error!s:.200})")
