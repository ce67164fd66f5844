"""Inside a worker: questions in, answers out, both as bytes, computed on one thread."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2

from segagent.core import SegAgentError
from segagent.distributed.ordered import Raised, Returned


def question(function: Callable[[Any, Any], Any], item: Any) -> bytes:
    """What a worker is asked. Function and item must be picklable."""
    return pickle.dumps((function, item))


class Answers:
    """In a worker: makes the models when first asked, and computes on one thread. ``made``: called once they are."""

    def __init__(self, make: Callable[[], Any], made: Callable[[], None] = lambda: None) -> None:
        os.environ["OMP_NUM_THREADS"] = "1"
        cv2.setNumThreads(1)
        self._make, self._made = make, made
        self._models: list[Any] = []

    def __call__(self, asked: bytes) -> bytes:
        """The pickled :class:`Returned` or :class:`Raised` for a pickled pair of function and item."""
        try:
            function, item = pickle.loads(asked)  # noqa: S301 - the parent's
            if not self._models:
                self._models.append(self._make())
                _set_torch_threads(1)
                self._made()
            return pickle.dumps(Returned(function(self._models[0], item)))
        except Exception as error:  # noqa: BLE001 - raised again where the result is taken
            return pickle.dumps(Raised(_sendable(error)))


def _sendable(error: Exception) -> Exception:
    """``error``, or where it does not survive pickling a plain one saying the same, with its traceback as a note."""
    sent = error
    try:
        survives = type(pickle.loads(pickle.dumps(error))) is type(error)  # noqa: S301 - just made
    except Exception:  # noqa: BLE001 - whatever it is, it does not survive
        survives = False
    if not survives:
        kind = SegAgentError if isinstance(error, SegAgentError) else RuntimeError
        sent = kind(f"{type(error).__name__}: {error}")
    sent.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    return sent


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV and, once loaded, torch on one thread; afterwards as before."""
    before, torch_before = cv2.getNumThreads(), _set_torch_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
        if torch_before is not None:
            _set_torch_threads(torch_before)


def _set_torch_threads(number: int) -> int | None:
    """Set torch's number of threads if it is loaded; returns what it was."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return None
    before = int(torch.get_num_threads())
    torch.set_num_threads(number)
    return before
