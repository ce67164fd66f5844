"""The same over a real Ray cluster on this machine. Needs the extra 'ray'."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chores
import pytest

from segagent.core import InputError, MissingExtraError, SegAgentError
from segagent.distributed.ray_workers import ray_workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own.
]


def lost(item: tuple[int, str]) -> int:
    return -item[0]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """Ray, connected to a small cluster whose workers find this folder's modules."""
    ray = pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'segagent[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    runtime = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(
        num_cpus=2, object_store_memory=128 << 20, include_dashboard=False, log_to_driver=False, runtime_env=runtime
    )
    yield ray
    ray.shutdown()


def test_order_is_kept(ray: Any) -> None:
    with ray_workers(chores.no_models, "local", 2) as ask:
        assert list(ask(chores.add_slowly, range(12))) == list(range(100, 112))
        assert len(set(ask(chores.process_of, range(40)))) == 2
        with pytest.raises(InputError, match="item 7 is bad"):
            list(ask(chores.refuse_7, range(20)))
        assert list(ask(chores.add, [5])) == [105]


def test_an_item_that_ends_its_actor_twice_costs_itself_only(ray: Any) -> None:
    items = [(number, "exit" if number in (3, 5) else "") for number in range(10)]
    with ray_workers(chores.no_models, "local", 2) as ask:
        assert list(ask(chores.die_at, items, died=lost)) == [
            -number if number in (3, 5) else 100 + number for number in range(10)
        ]


def test_an_actor_that_dies_once_costs_nothing(ray: Any, tmp_path: Path) -> None:
    items = [(number, str(tmp_path / str(number)) if number == 3 else "") for number in range(8)]
    with ray_workers(chores.no_models, "local", 2) as ask:
        assert list(ask(chores.die_once, items, died=lost)) == list(range(100, 108))


def test_actors_killed_from_outside_cost_nothing(ray: Any, tmp_path: Path) -> None:
    results, killed = [], set()
    with ray_workers(chores.no_models, "local", 2) as ask:
        for result in ask(chores.slowly, [(number, str(tmp_path)) for number in range(30)], died=lost):
            results.append(result)
            if len(results) in (8, 16):
                pid = next(int(path.name) for path in tmp_path.iterdir() if int(path.name) not in killed)
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
    assert results == list(range(100, 130))


def test_without_died_the_first_death_raises(ray: Any) -> None:
    with ray_workers(chores.no_models, "local", 2) as ask, pytest.raises(SegAgentError, match="ended unexpectedly"):
        list(ask(chores.die_at, [(1, "exit")]))


def test_actors_without_room_are_told(ray: Any) -> None:
    holder = ray.remote(num_cpus=2)(Holder).remote()
    ray.get(holder.there.remote())
    began = time.monotonic()
    with (
        ray_workers(chores.no_models, "local", 2, start_seconds=3) as ask,
        pytest.raises(SegAgentError, match="free a CPU"),
    ):
        list(ask(chores.add, range(3)))
    assert time.monotonic() - began < 60
    ray.kill(holder)


class Holder:
    def there(self) -> bool:
        return True


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"segagent\[ray\]"), ray_workers(chores.no_models, "local", 2):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:x"])
def test_a_cluster_that_does_not_answer_is_told(address: str) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray': pip install 'segagent[ray]'").shutdown()
    with pytest.raises(InputError, match="no Ray cluster to work on"), ray_workers(chores.no_models, address):
        pass
