"""Side by side: order, bounds, errors in their place, and the time that each gets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import numpy as np
import pytest

from segagent.core import Click, Image, SegmentationTool, SegmentRequest
from segagent.core.ahead import one_ahead
from segagent.core.extensions import extension_versions
from segagent.distributed import Lanes
from segagent.tools.fake import DiscTool


@pytest.mark.parametrize("count", [1, 5])
def test_results_come_in_order(count: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.003 * (item % 3))
        return item * item

    assert list(Lanes(count).map(work, range(40))) == [item * item for item in range(40)]


def test_as_many_are_under_way_as_there_are_lanes() -> None:
    met = threading.Barrier(6)
    assert list(Lanes(6).map(lambda item: met.wait(10) >= 0, range(12))) == [True] * 12


@pytest.mark.parametrize("count", [1, 4])
def test_an_error_is_raised_in_its_place(count: int) -> None:
    def work(item: int) -> int:
        if item == 5:
            raise ValueError("five")
        return item

    results = Lanes(count).map(work, range(20))
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="five"):
        next(results)


@pytest.mark.parametrize("count", [1, 4])
def test_nothing_is_begun_that_is_not_ready(count: int) -> None:
    begun: list[int] = []
    taken: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item

    for one in Lanes(count).map(
        lambda item: begun.append(item) or item, range(100), lambda ahead: len(taken) + ahead < 7
    ):
        taken.append(one)
    assert taken == list(range(7))
    assert sorted(begun) == taken


def test_few_items_are_taken_ahead() -> None:
    items = iter(range(1000))
    results = Lanes(4).map(lambda item: item, items)
    assert next(results) == 0
    assert next(items) <= 9


def test_one_is_prepared_while_the_one_before_is_worked_on() -> None:
    begun = [threading.Event() for _ in range(6)]

    def prepare(item: int) -> int:
        begun[item].set()
        return item * item

    def work(item: int, prepared: int) -> int:
        assert item == 5 or begun[item + 1].wait(10)
        assert not any(one.is_set() for one in begun[item + 2 :])
        return prepared

    assert list(Lanes(1).map(work, range(6), prepare=prepare)) == [item * item for item in range(6)]


_HUE: ContextVar[str] = ContextVar("hue", default="grey")


def test_what_is_made_ahead_is_in_order_and_errors_in_their_place() -> None:
    making = threading.Event()
    threads: list[threading.Thread] = []

    def items() -> Iterator[str]:
        yield f"first {_HUE.get()}"
        threads.append(threading.current_thread())
        making.set()
        yield "second"
        raise ValueError("third")

    _HUE.set("green")
    results = one_ahead(items())
    assert next(results) == "first green"
    assert making.wait(10)
    assert next(results) == "second"
    with pytest.raises(ValueError, match="third"):
        next(results)
    assert not threads[0].is_alive()
    assert list(one_ahead([])) == []


def test_closing_waits_for_the_one_that_is_being_made() -> None:
    ended: list[int] = []

    def items() -> Iterator[int]:
        for item in range(9):
            time.sleep(0.02 * item)
            ended.append(item)
            yield item

    results = one_ahead(items())
    next(results)
    results.close()
    before = list(ended)
    time.sleep(0.1)
    assert ended == before
    assert len(before) <= 2


def test_there_is_room_for_so_many_pixels_and_for_any_one() -> None:
    lanes = Lanes(8, room=100)
    held = most = 0
    lock = threading.Lock()

    def work(size: int) -> int:
        nonlocal held, most
        with lanes.holding(lambda: size, lambda loaded: loaded) as loaded:
            with lock:
                held += loaded
                most = max(most, held if loaded <= 100 else 0)
            time.sleep(0.002)
            with lock:
                held -= loaded
        return size

    sizes = [40, 30, 500, 60, 10, 90, 20] * 5
    assert list(lanes.map(work, sizes)) == sizes
    assert 40 < most <= 100


def test_time_is_shared_out() -> None:
    lanes = Lanes(10)

    def work(item: int) -> float:
        began = lanes.clock()
        time.sleep(0.05)
        return lanes.clock() - began

    began = time.perf_counter()
    shares = list(lanes.map(work, range(30)))
    passed = time.perf_counter() - began
    assert 0 < sum(shares) <= passed + 0.01


class Crowded:
    """A tool that notices company."""

    name, accepts_box = "crowded", False
    inside = most = 0

    def embed(self, images: Sequence[Image]) -> list[object]:
        return list(images)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[object]:
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.002)
        self.inside -= 1
        return []


def test_a_tool_that_does_not_say_that_it_bears_more_is_used_by_one_at_a_time() -> None:
    lanes, tool = Lanes(8), Crowded()
    used: SegmentationTool = lanes.in_turns(tool)  # type: ignore[arg-type]
    list(lanes.map(lambda _: used.segment([]), range(40)))
    assert tool.most == 1
    assert (used.name, used.accepts_box) == ("crowded", False)
    # Records tell whose code the tool is, one lane or many.
    assert extension_versions(used) == extension_versions(tool) != {}


def test_the_embedded_tool_answers_the_same_from_several_threads() -> None:
    from segagent.tools.embedded.tool import EmbeddedTool

    rng = np.random.default_rng(3)
    images = [Image.of(rng.integers(0, 255, (40 + n, 50, 3), np.uint8)) for n in range(6)]
    empty = [np.zeros((image.height, image.width), np.bool_) for image in images]
    for tool in (EmbeddedTool(), DiscTool()):
        lanes = Lanes(6)
        used = lanes.in_turns(tool)

        def work(number: int, used: SegmentationTool = used) -> bytes:
            (embedding,) = used.embed([images[number]])
            asked = SegmentRequest(embedding, empty[number], None, (Click(20, 20, True),))
            return used.segment([asked])[0].mask.tobytes()

        assert list(lanes.map(work, range(6))) == list(map(work, range(6)))
