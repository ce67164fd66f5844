"""Processes and progress: how the stages of the experiment are run and watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import Protocol, TypeAlias

from segagent.core import SegmentationTool
from segagent.distributed import Asking, worker_processes
from segagent.tools import make_tool

Ask: TypeAlias = Asking[SegmentationTool]
"""Runs functions that need a tool, results in order."""


class Watch(Protocol):
    """Shows the progress of a stage: ``with watch(name, total, unit) as update: update(done, note)``."""

    def __call__(
        self, what: str, total: float | None, unit: str
    ) -> AbstractContextManager[Callable[[float, str], None]]:
        """A bar for one stage."""
        ...


@contextmanager
def watch_nothing(what: str, total: float | None, unit: str) -> Iterator[Callable[[float, str], None]]:
    """A :class:`Watch` that shows nothing."""
    del what, total, unit
    yield lambda done, note: None


class Workers:
    """``workers`` processes per tool, started when first needed and kept until the end of the ``with`` block.

    One worker means this process. Each computes on one thread, so results do not depend on their number.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._stack = ExitStack()
        self._asking: dict[str, Asking[SegmentationTool]] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def of(self, tool: str) -> Ask:
        """Those with ``tool``."""
        if tool not in self._asking:
            self._asking[tool] = self._stack.enter_context(worker_processes(partial(make_tool, tool), self.workers))
        return self._asking[tool]
