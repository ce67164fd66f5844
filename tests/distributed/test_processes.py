"""Work spread over processes: order kept, and a death costs the item that caused it, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import chores
import pytest

from segagent.core import InputError, SegAgentError
from segagent.distributed import worker_processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def lost(item: tuple[int, str]) -> int:
    return -item[0]


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that comes about by itself."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_order_is_kept(workers: int) -> None:
    with worker_processes(chores.no_models, workers) as ask:
        assert list(ask(chores.add_slowly, range(12))) == list(range(100, 112))
        assert list(ask(chores.add, [])) == []
        assert list(ask(chores.add, [5])) == [105]


def test_several_processes_on_one_thread_each() -> None:
    with worker_processes(chores.no_models, 2) as ask:
        pids = set(ask(chores.process_of, range(40)))
        assert os.getpid() not in pids
        assert len(pids) == 2
        assert set(ask(chores.threads_of, range(4))) == {1}


def test_few_items_ahead() -> None:
    drawn: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    with worker_processes(chores.no_models, 2) as ask:
        results = ask(chores.add, items())
        assert drawn == []
        for taken in range(1, 50):
            next(results)
            assert taken <= len(drawn) <= taken + 6


def test_large_items_and_results() -> None:
    items = [bytes([number]) * 3_000_000 for number in range(8)]
    with worker_processes(chores.no_models, 2) as ask:
        assert list(ask(chores.large, items)) == items


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_function_raises_comes_in_its_place(workers: int) -> None:
    taken: list[int] = []
    with worker_processes(chores.no_models, workers) as ask:
        with pytest.raises(InputError, match="item 7 is bad"):
            taken.extend(ask(chores.refuse_7, range(20)))
        assert taken == list(range(100, 107))
        # The workers are there for the next question.
        assert list(ask(chores.add, range(5))) == list(range(100, 105))


def test_models_that_cannot_be_made_are_told() -> None:
    with worker_processes(chores.broken_models, 2) as ask, pytest.raises(InputError, match="no such weights"):
        list(ask(chores.add, range(5)))


def test_an_exception_that_cannot_be_sent_is_told_in_words() -> None:
    with worker_processes(chores.no_models, 2) as ask, pytest.raises(RuntimeError, match="AwkwardError: very awkward"):
        list(ask(chores.raise_awkwardly, [1]))


def test_one_question_at_a_time() -> None:
    with worker_processes(chores.no_models, 2) as ask:
        first = ask(chores.add, range(50))
        next(first)
        with pytest.raises(RuntimeError, match="asked already"):
            next(ask(chores.add, range(5)))
        first.close()  # type: ignore[attr-defined]
        assert list(ask(chores.add, range(5))) == list(range(100, 105))


@pytest.mark.parametrize("how", ["exit", "kill", "segfault", "quit"])
def test_an_item_that_ends_its_process_costs_itself_only(how: str) -> None:
    items = [(number, how if number in (3, 9) else "") for number in range(14)]
    with worker_processes(chores.no_models, 2) as ask:
        results = list(ask(chores.die_at, items, died=lost))
    assert results == [-number if number in (3, 9) else 100 + number for number in range(14)]


def test_the_first_and_the_last_item_may_end_their_process() -> None:
    items = [(1, "exit"), (2, ""), (3, ""), (4, "exit")]
    with worker_processes(chores.no_models, 2) as ask:
        assert list(ask(chores.die_at, items, died=lost)) == [-1, 102, 103, -4]


def test_an_item_whose_process_died_by_chance_is_tried_again(tmp_path: Path) -> None:
    items = [(number, str(tmp_path / str(number)) if number % 3 == 0 else "") for number in range(12)]
    with worker_processes(chores.no_models, 2) as ask:
        assert list(ask(chores.die_once, items, died=lost)) == list(range(100, 112))


def test_three_deaths_in_a_row_are_not_the_items_fault() -> None:
    items = [(number, "exit" if number >= 4 else "") for number in range(20)]
    taken: list[int] = []
    with worker_processes(chores.no_models, 2) as ask, pytest.raises(SegAgentError, match="fewer workers"):
        taken.extend(ask(chores.die_at, items, died=lost))
    assert taken == [100, 101, 102, 103, -4, -5]


def test_deaths_that_are_not_in_a_row_go_on_and_on() -> None:
    items = [(number, "exit" if number % 2 else "") for number in range(12)]
    with worker_processes(chores.no_models, 2) as ask:
        results = list(ask(chores.die_at, items, died=lost))
    assert results == [-number if number % 2 else 100 + number for number in range(12)]


def test_models_that_end_the_process_end_the_run() -> None:
    with worker_processes(chores.dying_models, 2) as ask, pytest.raises(SegAgentError, match="ended unexpectedly"):
        list(ask(chores.die_at, [(number, "") for number in range(9)], died=lost))


def test_processes_that_die_before_their_models_are_made_are_no_items_fault(tmp_path: Path) -> None:
    (tmp_path / "tries").mkdir()
    make = partial(chores.models_at_the_third_try, str(tmp_path / "tries"))
    with worker_processes(make, 2) as ask:
        for number in range(3):
            # By chance it ends its process once as well.
            item = (number, str(tmp_path / str(number)))
            assert list(ask(chores.die_once, [item], died=lost)) == [100 + number]
    assert len(list((tmp_path / "tries").iterdir())) == 4 * 3


def test_without_died_the_first_death_raises() -> None:
    items = [(number, "exit" if number == 5 else "") for number in range(12)]
    taken: list[int] = []
    with worker_processes(chores.no_models, 2) as ask, pytest.raises(SegAgentError, match="ended unexpectedly"):
        taken.extend(ask(chores.die_at, items))
    assert taken == list(range(100, 105))


@pytest.mark.slow
def test_processes_killed_from_outside_cost_nothing(tmp_path: Path) -> None:
    items = [(number, str(tmp_path)) for number in range(40)]
    results: list[int] = []
    killed: set[int] = set()
    with worker_processes(chores.no_models, 2) as ask:
        for result in ask(chores.slowly, items, died=lost):
            results.append(result)
            if len(results) % 10 == 0:
                for pid in {int(path.name) for path in tmp_path.iterdir()} - killed:
                    if alive(pid):
                        os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
    assert results == list(range(100, 140))
    assert len(killed) >= 4


def test_processes_killed_while_idle_are_replaced(tmp_path: Path) -> None:
    with worker_processes(chores.no_models, 2) as ask:
        items = [(number, str(tmp_path)) for number in range(4)]
        assert list(ask(chores.slowly, items)) == [100, 101, 102, 103]
        pids = {int(path.name) for path in tmp_path.iterdir()}
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        # Seen as dead by whoever started them, which is a little later than in /proc.
        until(lambda: not pids & {child.pid for child in active_children()})
        assert list(ask(chores.slowly, items)) == [100, 101, 102, 103]


def test_results_that_are_left_end_their_processes_soon(tmp_path: Path) -> None:
    with worker_processes(chores.no_models, 2) as ask:
        next(ask(chores.slowly, [(number, str(tmp_path)) for number in range(1000)]))
        pids = [int(path.name) for path in tmp_path.iterdir()]
    assert pids
    assert not any(alive(pid) for pid in pids)


PARENT = """
import signal
import sys
import chores
from segagent.distributed import worker_processes
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # Ignored where the tests run in the background.
    with worker_processes(chores.no_models, 2) as ask:
        for result in ask(chores.slowly, [(number, sys.argv[1]) for number in range(100000)]):
            print(result, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_parent_leaves_no_orphan(tmp_path: Path, number: signal.Signals) -> None:
    script, folder = tmp_path / "parent.py", tmp_path / "pids"
    script.write_text(PARENT)
    folder.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    parent = subprocess.Popen([sys.executable, str(script), str(folder)], stderr=subprocess.DEVNULL, env=environment)
    until(lambda: len(list(folder.iterdir())) == 2)
    parent.send_signal(number)
    assert parent.wait(60) != 0
    until(lambda: not any(alive(int(path.name)) for path in folder.iterdir()))
