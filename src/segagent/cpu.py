"""How this package's own networks compute on a CPU, used or trained: in which number format, on how many threads.

bfloat16 is quicker than float32 where the CPU has units for it, and many times slower where it has none and every
number is converted by hand. Weights, and all that passes between networks, are float32 in either case; the embedded
tool's network is used in float32 everywhere. Models of other libraries (``hf:``, ``sam:``) have options of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, cast

import torch

from segagent.core import InputError

Precision = Literal["bfloat16", "float32"]

VARIABLE = "SEGAGENT_PRECISION"
"""The environment variable that overrules the CPU: ``bfloat16``, ``float32`` or ``auto`` (as if it were not set)."""

_chosen: ContextVar[Precision | None] = ContextVar("precision", default=None)


def precision() -> Precision:
    """The number format of :func:`autocast`. Raises ``InputError`` where the environment asks for an unknown one."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    asked = os.environ.get(VARIABLE, "") or "auto"
    if asked not in ("auto", "bfloat16", "float32"):
        raise InputError(f"the environment variable {VARIABLE} is {asked!r:.50}; expected bfloat16, float32 or auto")
    return _BY_CPU if asked == "auto" else cast(Precision, asked)


@contextmanager
def computing_in(number_format: Precision) -> Iterator[None]:
    """Within it :func:`precision` is ``number_format``, whatever CPU and environment say."""
    token = _chosen.set(number_format)
    try:
        yield
    finally:
        _chosen.reset(token)


def autocast(device: str = "cpu") -> torch.autocast:
    """The context that a network's forward pass runs in, when used and when trained.

    On the CPU it does nothing in float32; an accelerator always computes in bfloat16. What comes out of it may be
    bfloat16: call ``float()`` before computing on.
    """
    return torch.autocast(device, torch.bfloat16, enabled=device != "cpu" or precision() == "bfloat16")


def usable_device(name: str) -> torch.device:
    """The device that torch calls ``name``. Raises ``InputError`` where it does not know it or cannot compute there."""
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: cannot be used here ({str(error).splitlines()[0]})") from error


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Within it torch computes on one thread: our convolutions are too small to gain by more.

    On a busy machine several threads that wait for each other take many times as long.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def cpu_words() -> str:
    """The kind of CPU, for people who read timings: ``CPU: AVX2, no bfloat16 units in use; precision float32``."""
    units = "bfloat16 units" if _BY_CPU == "bfloat16" else "no bfloat16 units in use"
    return f"CPU: {torch.backends.cpu.get_cpu_capability()}, {units}; precision {precision()}"


def _by_cpu() -> Precision:
    """bfloat16 on x86 CPUs with AVX512_BF16 (those with AMX have it too), unless oneDNN is told not to use it.

    oneDNN also takes bfloat16 on CPUs with AVX512 alone, where it takes about twice as long as float32. Other kinds of
    CPU (ARM) were not measured, and float32 is slow on none.
    """
    flag = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    usable = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)  # None: torch without oneDNN, as on macOS.
    return "bfloat16" if flag is not None and usable is not None and flag() and usable() else "float32"


_BY_CPU: Precision = _by_cpu()
