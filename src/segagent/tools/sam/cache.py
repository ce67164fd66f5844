"""A cache of the most recently used values, bounded by the bytes they hold."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows how many bytes it holds."""

    @property
    def num_bytes(self) -> int:
        """Bytes of the arrays inside."""
        ...


Value = TypeVar("Value", bound=Sized)


class ByteCache(Generic[Value]):
    """Values by name; the least recently used ones go once all together would hold more than ``max_bytes``.

    A memo of pure results: whether something is found in it changes the time an answer takes, never the answer.
    A value larger than ``max_bytes`` is not kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._num_bytes = 0
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """Bytes held now, at most ``max_bytes``."""
        return self._num_bytes

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: str) -> Value | None:
        """The value of ``key``, which becomes the most recently used one; None where there is none."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: Value) -> None:
        """Keep ``value`` as the most recently used one, and forget as many of the oldest as its bytes need."""
        with self._lock:
            replaced = self._values.pop(key, None)
            if replaced is not None:
                self._num_bytes -= replaced.num_bytes
            if value.num_bytes > self._max_bytes:
                return
            while self._num_bytes + value.num_bytes > self._max_bytes:
                _, oldest = self._values.popitem(last=False)
                self._num_bytes -= oldest.num_bytes
            self._values[key] = value
            self._num_bytes += value.num_bytes
