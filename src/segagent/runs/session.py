"""How a run is carried out this time: where, how far, and at what cost. Nothing of it changes a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypedDict

from segagent.core import InputError, SegAgentError
from segagent.core.budget import Budget
from segagent.distributed import Asking, worker_processes

OpenWorkers: TypeAlias = Callable[[Callable[[], Any]], AbstractContextManager[Asking[Any]]]
"""Where the work runs: given what makes the models, :func:`segagent.distributed.worker_processes` with a number of
processes, or :func:`segagent.distributed.ray_workers.ray_workers`."""


class StoppedError(SegAgentError):
    """A budget ended a run that something else was to be made of. What was played stays."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``of``, from 1: the images whose place in the data set is ``number - 1`` modulo ``of``."""

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise InputError(f"shard {self.number}/{self.of}: expected i/n with i from 1 to n")

    @staticmethod
    def parse(text: str) -> Shard:
        """``"2/8"``. Raises ``InputError`` saying what is expected."""
        number, slash, of = text.partition("/")
        if not slash or not all(part.isascii() and part.isdigit() and len(part) < 9 for part in (number, of)):
            raise InputError(f"shard {text!r:.80}: expected i/n, for example 1/4")
        return Shard(int(number), int(of))

    def takes(self, place: int) -> bool:
        """Whether the image at ``place`` (from 0) belongs to this part."""
        return place % self.of == self.number - 1

    def count(self, end: int) -> int:
        """How many images before the place ``end`` belong to it."""
        return len(range(self.number - 1, end, self.of))

    def end(self, count: int) -> int:
        """The place behind its first ``count`` images."""
        return self.number + (count - 1) * self.of if count else 0

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class How(TypedDict, total=False):
    """What the functions that make runs take beside what they play; see :class:`Session`."""

    workers: int | None
    open_workers: OpenWorkers | None
    limit: int | None
    budget: Budget
    retry_failed: bool


@dataclass(frozen=True, slots=True)
class Session:
    """How a run is carried out.

    ``workers``: processes, each with its own models and computing on one thread; 1 works in this one. None works in
    this one too, on as many images at once as a policy behind a server takes questions.
    ``open_workers``: where the work runs instead.
    ``limit``: only so many first images, those done before counted; a larger limit goes on.
    ``budget``: of the run, earlier sessions included.
    ``retry_failed``: once all images are done, try again what failed in earlier sessions.
    ``spent``: what counts towards the budget besides, by name: the cost of other runs that share it.
    """

    workers: int | None = None
    open_workers: OpenWorkers | None = None
    limit: int | None = None
    budget: Budget = Budget()  # noqa: RUF009 - frozen
    retry_failed: bool = False
    spent: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"the limit must be at least 1 image, got {self.limit}")

    def asking(self, make: Callable[[], Any]) -> AbstractContextManager[Asking[Any]]:
        """Workers with the models that ``make`` makes."""
        return worker_processes(make, self.workers) if self.open_workers is None else self.open_workers(make)
