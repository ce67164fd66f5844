"""What workers are asked to do in tests: importable, as other processes have to find it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from segagent.core import InputError


def no_models() -> int:
    return 100


def broken_models() -> int:
    raise InputError("no such weights")


def dying_models() -> int:
    os._exit(3)


def models_at_the_third_try(folder: str) -> int:
    """Ends the process while the models are made, twice in a row for every three times."""
    tries = len(list(Path(folder).iterdir()))
    (Path(folder) / str(tries)).touch()
    if tries % 3 < 2:
        os._exit(3)
    return 100


def add(models: int, item: int) -> int:
    return models + item


def add_slowly(models: int, item: int) -> int:
    """The first ones take longest."""
    time.sleep(0.05 * (3 - item % 4))
    return models + item


def process_of(models: int, item: int) -> int:
    return os.getpid()


def threads_of(models: int, item: int) -> int:
    import cv2

    return int(cv2.getNumThreads())


def refuse_7(models: int, item: int) -> int:
    if item == 7:
        raise InputError(f"item {item} is bad")
    return models + item


class AwkwardError(Exception):
    """Survives no pickling."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


def raise_awkwardly(models: int, item: int) -> int:
    raise AwkwardError("very", "awkward")


def die_at(models: int, item: tuple[int, str]) -> int:
    """``item``: a number and how to end: "exit", "kill", "segfault", "raise SystemExit", or "" for not at all."""
    number, how = item
    if how == "exit":
        os._exit(0)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "segfault":
        import ctypes

        ctypes.string_at(0)
    if how == "quit":
        raise SystemExit(0)
    return models + number


def die_once(models: int, item: tuple[int, str]) -> int:
    """Ends the process unless the file named by ``item`` is there."""
    number, path = item
    if path and not Path(path).exists():
        Path(path).touch()
        os._exit(1)
    return models + number


def slowly(models: int, item: tuple[int, str]) -> int:
    """Leaves the process's number in the folder ``item`` names, and takes its time."""
    number, folder = item
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(0.1)
    return models + number


def large(models: int, item: bytes) -> bytes:
    return item[::-1]
