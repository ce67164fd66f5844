"""The GPUs of this machine, and which of them a worker process uses."""

from __future__ import annotations

import os
from pathlib import Path

_VARIABLE = "CUDA_VISIBLE_DEVICES"
_LISTED = Path("/proc/driver/nvidia/gpus")


def gpus() -> list[str]:
    """The CUDA devices that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them; no library is loaded."""
    given = os.environ.get(_VARIABLE)
    if given is not None:
        named = [name.strip() for name in given.split(",")]
        # CUDA takes those before the first that is none.
        valid = [place for place, name in enumerate(named) if name in ("", "-1")]
        return named[: valid[0]] if valid else named
    try:
        return [str(place) for place, _ in enumerate(_LISTED.iterdir())]
    except OSError:
        return []


def use_gpu(place: int) -> None:
    """Let this process see one of several GPUs alone: workers, numbered by ``place``, are dealt out in turn.

    Called before CUDA is used. Where there is one GPU, or none, nothing changes.
    """
    found = gpus()
    if len(found) > 1:
        os.environ[_VARIABLE] = found[place % len(found)]
