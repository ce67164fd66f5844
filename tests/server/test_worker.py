"""What waits together is asked together, and every asker gets the answers to their own questions."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import InputError, ToolError
from segagent.server.worker import MOST_TOGETHER, OverdueError, Patience, Worker


class Model:
    """Doubles numbers; 13 is refused, and spoils the call that it is part of."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.open = threading.Event()
        self.begun = threading.Event()

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.begun.set()
        self.open.wait(20)
        self.calls.append(list(questions))
        if 13 in questions:
            raise InputError("thirteen")
        if 99 in questions:
            raise RuntimeError("broken")
        if 50 in questions:
            return [1]
        return [2 * number for number in questions]


def until_waiting(worker: Worker, count: int) -> None:
    deadline = time.monotonic() + 20
    while worker.waiting < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 30), max_size=5), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_everybody_gets_their_own_answers(asked: list[list[int]], threads: int) -> None:
    worker, model = Worker("test", threads), Model()
    model.open.set()

    def ask(number: int) -> list[int] | str:
        try:
            return worker.ask(number % 2, model, asked[number], Patience(20))
        except InputError as error:
            return str(error)

    with ThreadPoolExecutor(len(asked)) as pool:
        told = list(pool.map(ask, range(len(asked))))
    worker.close()
    for questions, answers in zip(asked, told, strict=True):
        assert answers == ("thirteen" if 13 in questions else [2 * number for number in questions])


def test_what_waits_goes_into_one_call_and_hurry_goes_first() -> None:
    worker, model = Worker("test"), Model()
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(worker.ask, "slow", model, [0], Patience())
        assert model.begun.wait(20)
        slow = [pool.submit(worker.ask, "slow", model, [number], Patience()) for number in range(1, 6)]
        until_waiting(worker, 5)
        click = pool.submit(worker.ask, "click", model, [70], Patience(), head_start=9)
        until_waiting(worker, 6)
        worker.post(lambda: model([1000]))
        model.open.set()
        assert [one.result() for one in (first, click, *slow)] == [[0], [140], [2], [4], [6], [8], [10]]
    worker.run(lambda: None, Patience(), head_start=-3600)  # After all else but what is done at leisure.
    worker.run(lambda: model([1]), Patience())
    assert [sorted(call) for call in model.calls[:3]] == [[0], [70], [1, 2, 3, 4, 5]]
    worker.close()


def test_a_call_is_bounded() -> None:
    worker, model = Worker("test"), Model()
    with ThreadPoolExecutor(20) as pool:
        done = [pool.submit(worker.ask, "same", model, [0] * 3, Patience())]
        assert model.begun.wait(20)  # What is put in before it begins goes with it.
        done += [pool.submit(worker.ask, "same", model, [number] * 3, Patience()) for number in range(1, 12)]
        until_waiting(worker, 3 * 11)
        model.open.set()
        for one in done:
            one.result()
    worker.close()
    assert max(map(len, model.calls)) <= MOST_TOGETHER
    assert len(model.calls) < len(done)


def test_faults_are_told_to_whom_they_concern() -> None:
    worker, model = Worker("test"), Model()
    model.open.set()
    with pytest.raises(ToolError, match="RuntimeError: broken"):
        worker.ask("k", model, [99], Patience())
    with pytest.raises(ToolError, match="1 answers to 2 questions"):
        worker.ask("k", model, [50, 51], Patience())
    assert worker.ask("k", model, [4], Patience()) == [8]
    assert worker.ask("k", model, [], Patience()) == []
    worker.close()


def test_patience_ends() -> None:
    worker, model = Worker("test"), Model()
    with pytest.raises(OverdueError, match=r"0\.05 seconds"):
        worker.ask("k", model, [1], Patience(0.05))
    gone = Patience()
    with ThreadPoolExecutor(1) as pool:
        waits = pool.submit(worker.ask, "k", model, [2], gone)
        until_waiting(worker, 1)
        gone.gone = True
        model.open.set()
        with pytest.raises(OverdueError):
            waits.result(20)
    assert worker.ask("k", model, [3], Patience()) == [6]
    assert model.calls[-1] == [3]
    assert [2] not in model.calls, "nobody waited for it"
    worker.close()
    with pytest.raises(OverdueError, match="stops"):
        worker.ask("k", model, [3], Patience())
