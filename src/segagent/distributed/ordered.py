"""Work given to workers that may die: results in order, few items ahead, and a death costs one item at most.

Which workers, processes or Ray's actors, is a :class:`Crew`'s affair; all of them are fed and minded here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from segagent.core import SegAgentError

_M_co = TypeVar("_M_co", covariant=True)
_T = TypeVar("_T")
_R = TypeVar("_R")

_AHEAD_PER_WORKER = 2
_MOST_DEATHS_IN_A_ROW = 3
_MOST_TRIES = 2

DEATH = (
    "a worker process ended unexpectedly, perhaps for lack of memory; "
    "start the same command again to go on, with fewer workers"
)


Ready: TypeAlias = Callable[[int], bool]
"""Whether another item may be begun, given how many were begun whose results are still to be taken."""


class Asking(Protocol[_M_co]):
    """Runs functions that need the models."""

    def __call__(
        self,
        function: Callable[[_M_co, _T], _R],
        items: Iterable[_T],
        *,
        died: Callable[[_T], _R] | None = None,
        ready: Ready | None = None,
    ) -> Iterator[_R]:
        """``function(models, item)`` for each item, in order, few items ahead of what was taken.

        ``ready``, given how many results are still to be taken, says whether another item may be begun now; where it
        may not and there are none, that is the end.

        A function may have a method ``prepare(models, item)``. Where the work is done in this process, one item after
        the other, a second thread then prepares an item while the one before is worked on, and what that gives is
        handed to the function as a third argument.

        An item whose worker dies is tried once more, by another worker; if that dies too, ``died(item)`` takes the
        result's place. Without ``died`` the first death raises ``SegAgentError``, as do three items in a row that
        ended their workers: then it is not the items' fault. One call is worked on at a time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Returned:
    """A worker's result."""

    value: Any


@dataclass(frozen=True, slots=True)
class Raised:
    """What a worker's function raised."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Died:
    """The worker is no more."""


@dataclass(frozen=True, slots=True)
class _Fatal(Generic[_T]):
    """An item that ended every worker that tried it."""

    item: _T


Ending: TypeAlias = Returned | Raised | Died


class Crew(Protocol):
    """Workers that do one thing at a time. Those that die are replaced."""

    size: int

    def idle(self) -> int:
        """How many could begin something now."""
        ...

    def begin(self, number: int, function: Callable[[Any, Any], Any], item: Any) -> None:
        """Let an idle worker do ``function(models, item)``, from here on called ``number``."""
        ...

    def wait(self) -> list[tuple[int, Ending]]:
        """Wait until something has changed: what ended, possibly nothing where a worker has become ready."""
        ...

    def drop(self) -> None:
        """Forget what is under way; the workers at it may be ended."""
        ...


def asking(crew: Crew) -> Asking[Any]:
    """How ``crew`` is asked."""
    busy: list[bool] = []

    def ask(
        function: Callable[[Any, _T], _R],
        items: Iterable[_T],
        *,
        died: Callable[[_T], _R] | None = None,
        ready: Ready | None = None,
    ) -> Iterator[_R]:
        if busy:
            raise RuntimeError("these workers are being asked already; take or close the earlier results first")
        busy.append(True)
        try:
            yield from _in_order(crew, function, items, died, ready)
        finally:
            busy.clear()
            crew.drop()

    return ask


def _in_order(
    crew: Crew,
    function: Callable[[Any, _T], _R],
    items: Iterable[_T],
    died: Callable[[_T], _R] | None,
    ready: Ready | None,
) -> Iterator[_R]:
    coming = enumerate(items)
    window = (1 + _AHEAD_PER_WORKER) * crew.size
    under_way: dict[int, _T] = {}
    again: deque[tuple[int, _T]] = deque()
    deaths: dict[int, int] = {}
    ended: dict[int, Returned | Raised | _Fatal[_T]] = {}
    wanted, taken, in_a_row, more = 0, 0, 0, True
    while True:
        while crew.idle() and (again or (more and taken - wanted < window)):
            if again:
                number, item = again.popleft()
            elif ready is not None and not ready(taken - wanted):
                more = more and taken > wanted
                break
            elif (following := next(coming, None)) is not None:
                number, item = following
                taken += 1
            else:
                more = False
                continue
            under_way[number] = item
            crew.begin(number, function, item)
        if wanted in ended:
            ending = ended.pop(wanted)
            wanted += 1
            if isinstance(ending, Raised):
                raise ending.error
            if isinstance(ending, Returned):
                in_a_row = 0
                yield ending.value
                continue
            in_a_row += 1
            if died is None or in_a_row >= _MOST_DEATHS_IN_A_ROW:
                raise SegAgentError(DEATH)
            yield died(ending.item)
        elif not more and wanted == taken:
            return
        else:
            for number, outcome in crew.wait():
                item = under_way.pop(number)
                if not isinstance(outcome, Died):
                    ended[number] = outcome
                    deaths.pop(number, None)
                    continue
                deaths[number] = deaths.get(number, 0) + 1
                if died is None or deaths[number] >= _MOST_TRIES:
                    ended[number] = _Fatal(item)
                    del deaths[number]
                else:
                    again.append((number, item))
