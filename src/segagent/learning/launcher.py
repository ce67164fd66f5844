"""One training in several processes that a launcher (``torchrun``, ``accelerate launch``) started: who writes.

The first process alone writes files, holds locks and speaks; the others wait for what it makes.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from segagent.core import SegAgentError

_POLL_SECONDS = 0.2
_turns = itertools.count()


class FirstProcessFailedError(SegAgentError):
    """The first process could not make what the others wait for; it says itself why."""


def num_processes() -> int:
    """How many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


def by_the_first(work: Callable[[], object]) -> None:
    """Have the first process do ``work``, however long it takes; all of them return once it is done.

    Every process must call it, and as often as the others. Raises what ``work`` raises in the first process,
    :class:`FirstProcessFailedError` in the others.
    """
    if num_processes() == 1:
        work()
        return
    store, turn = _store(), f"segagent/{next(_turns)}"
    if is_first():
        try:
            work()
        except BaseException:
            store.set(turn, "failed")
            raise
        store.set(turn, "done")
        return
    # Asked again and again: a wait of hours in one call would run into the time limit of some network on the way.
    while not store.check([turn]):
        time.sleep(_POLL_SECONDS)
    if store.get(turn) != b"done":
        raise FirstProcessFailedError("the first process of this training ended with an error; see what it says")


@cache
def _store() -> Any:
    """What the launcher's processes have in common. It needs no process group, which a training makes for itself."""
    from torch.distributed.rendezvous import rendezvous

    return next(iter(rendezvous("env://")))[0]
