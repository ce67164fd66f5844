"""Work spread over the machines of a Ray cluster: one actor per worker, each with its own models.

Actors and not Ray Data: there is one small question per image and one answer, wanted in order, while the run may end at
any of them; a data set in blocks would have to be cut up and put back in order, and loses a block where an actor dies.
"""

from __future__ import annotations

import os
import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from segagent.core import InputError, MissingExtraError, SegAgentError
from segagent.distributed.answering import Answers, question
from segagent.distributed.ordered import Asking, Died, Ending, asking

_M = TypeVar("_M")

LOCAL = "local"
_STORE_BYTES = 128 << 20
_START_SECONDS = 600.0
_MOST_FAILED_STARTS = 3


@contextmanager
def ray_workers(
    make: Callable[[], _M], address: str, workers: int | None = None, *, start_seconds: float = _START_SECONDS
) -> Iterator[Asking[_M]]:
    """Where functions that need what ``make`` makes run: ``workers`` actors of the Ray cluster at ``address``.

    ``address``: as Ray has it (``HOST:PORT``, ``ray://HOST:PORT``, ``auto``), or ``local`` for one of its own on this
    machine, which ends here. A process that is connected to Ray already stays with that cluster. ``workers`` None: one
    for each GPU of the cluster, or for each CPU where it has none. An actor takes one CPU and its share of the GPUs.

    Actors that die, and those on machines that are lost, are replaced as soon as there is room for another one.
    ``start_seconds``: how long is waited for that where no other actor is at work.

    Raises ``MissingExtraError`` without Ray, ``InputError`` if no cluster answers, ``SegAgentError`` if no actor can be
    started.
    """
    ray = _ray()
    connected = ray.is_initialized()
    if not connected:
        _connect(ray, address, workers)
    try:
        crew = _Actors(ray, make, *_shares(ray, workers), start_seconds)
        try:
            yield asking(crew)
        finally:
            crew.end()
    finally:
        if not connected:
            ray.shutdown()


@dataclass(frozen=True, slots=True)
class _Waited:
    """An actor, and the number of what it is at; None while it is starting or asked whether it is still there."""

    actor: Any
    number: int | None = None
    starting: bool = False


class _Actors:
    """A :class:`segagent.distributed.ordered.Crew` of actors."""

    def __init__(self, ray: Any, make: Callable[[], Any], size: int, gpus: float, start_seconds: float) -> None:
        self.size = size
        self._ray = ray
        self._make = make
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)(_Actor)
        self._start_seconds = start_seconds
        self._failed_starts = 0
        self._free: list[Any] = []
        self._waited: dict[Any, _Waited] = {}
        for _ in range(size):
            self._start()

    def idle(self) -> int:
        return len(self._free)

    def begin(self, number: int, function: Callable[[Any, Any], Any], item: Any) -> None:
        asked = question(function, item)
        actor = self._free.pop()
        self._waited[actor.answer.remote(asked)] = _Waited(actor, number)

    def wait(self) -> list[tuple[int, Ending]]:
        working = any(waited.number is not None for waited in self._waited.values())
        ready, _ = self._ray.wait(list(self._waited), timeout=None if working else self._start_seconds)
        if not ready:
            raise SegAgentError(
                f"no Ray worker could be started within {self._start_seconds:g} s; free a CPU (and GPU) of the "
                "cluster for each worker and start the same command again to go on"
            )
        ended: list[tuple[int, Ending]] = []
        for reference in ready:
            waited = self._waited.pop(reference)
            try:
                answer = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.RayError as error:
                self._replace(waited, error)
                if waited.number is not None:
                    ended.append((waited.number, Died()))
                continue
            self._free.append(waited.actor)
            self._failed_starts = 0
            if waited.number is not None:
                ended.append((waited.number, pickle.loads(answer)))  # noqa: S301 - our own actor's
        return ended

    def drop(self) -> None:
        for reference, waited in list(self._waited.items()):
            if waited.number is not None:
                del self._waited[reference]
                self._ray.kill(waited.actor)
                self._start()

    def end(self) -> None:
        """End all actors."""
        for actor in [*self._free, *(waited.actor for waited in self._waited.values())]:
            self._ray.kill(actor)

    def _start(self) -> None:
        actor = self._kind.remote(self._make)
        self._waited[actor.ready.remote()] = _Waited(actor, starting=True)

    def _replace(self, waited: _Waited, error: Exception) -> None:
        self._ray.kill(waited.actor)
        if waited.starting:
            self._failed_starts += 1
            if self._failed_starts >= _MOST_FAILED_STARTS:
                told = " ".join(str(error).split())[:300]
                raise SegAgentError(f"Ray workers cannot be started; is segagent installed on all nodes? ({told})")
        self._start()
        # Idle ones may have gone with it, with their machine; no item should pay for finding that out.
        for actor in self._free:
            self._waited[actor.ready.remote()] = _Waited(actor)
        self._free.clear()


class _Actor:
    """Runs in Ray."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._answers = Answers(make)

    def ready(self) -> None:
        """Comes back once the actor is there."""

    def answer(self, asked: bytes) -> bytes:
        """See :class:`segagent.distributed.answering.Answers`."""
        return self._answers(asked)


def _ray() -> Any:
    # Ray sends usage statistics unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("--ray needs Ray: pip install 'segagent[ray]'") from error
    return ray


def _connect(ray: Any, address: str, workers: int | None) -> None:
    try:
        host, colon, port = address.removeprefix("ray://").rpartition(":")
        if colon:
            # Ray itself tries for many minutes.
            socket.create_connection((host, int(port)), timeout=10).close()
        if address == LOCAL:
            ray.init(
                num_cpus=workers, include_dashboard=False, log_to_driver=False, object_store_memory=_STORE_BYTES,
                logging_level="error",
            )  # fmt: skip
        else:
            ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, ValueError, RuntimeError) as error:
        told = " ".join(str(error).split())[:300]
        raise InputError(f"--ray {address}: no Ray cluster to work on ({told}); give its address, or local") from error


def _shares(ray: Any, workers: int | None) -> tuple[int, float]:
    """How many actors, and how much of a GPU each of them takes."""
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    size = workers or gpus or max(int(resources.get("CPU", 1)), 1)
    # In hundredths, rounded down: they must all find room.
    return size, min(1.0, gpus * 100 // size / 100)
