"""A memo of what was used last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def _one(value: object) -> int:
    return 1


class Recent(Generic[Key, Value]):
    """Values by key; the least recently used ones go once all together would weigh more than ``most``.

    A memo of pure results: whether something is found in it changes the time an answer takes, never the answer. Safe to
    use from several threads, where two may make the same value; a copy in another process begins empty.

    Args:
        most: how much is kept.
        weight: what a value counts; by default 1. A value that weighs more than ``most`` is not kept.
    """

    def __init__(self, most: int, weight: Callable[[Value], int] = _one) -> None:
        self._most, self._weight = most, weight
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()
        self.total = 0
        """What all values weigh now, at most ``most``."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Recent, (self._most, self._weight)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value of ``key``, which becomes the most recently used one; None where there is none."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def put(self, key: Key, value: Value) -> None:
        """Keep ``value`` as the most recently used one, and forget as many of the oldest as its weight needs."""
        weight = self._weight(value)
        with self._lock:
            if key in self._values:
                self.total -= self._weight(self._values.pop(key))
            if weight > self._most:
                return
            while self.total + weight > self._most:
                self.total -= self._weight(self._values.popitem(last=False)[1])
            self._values[key] = value
            self.total += weight

    def made(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of ``key``, made now where there is none; never None."""
        value = self.get(key)
        if value is None:
            value = make()
            self.put(key, value)
        return value
