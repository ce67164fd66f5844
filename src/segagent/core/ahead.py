"""Making the next thing ready while the present one is used."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

_T = TypeVar("_T")
_END = object()


def one_ahead(items: Iterable[_T]) -> Generator[_T, None, None]:
    """The same items in order, each made by a thread while the one before is used: never more than one.

    What making one raises is raised in its place. Closing waits for the one that is being made.
    """
    source: Iterator[Any] = iter(items)
    following: Callable[[], Any] = partial(copy_context().run, next, source, _END)
    with ThreadPoolExecutor(1, "segagent-ahead") as thread:
        coming = thread.submit(following)
        while (found := coming.result()) is not _END:
            coming = thread.submit(following)
            yield found
