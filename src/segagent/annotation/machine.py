"""What memory this machine has, and whether a preset's models fit into it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU that torch can use; ``free`` and ``total`` memory in GB (1e9 bytes)."""

    name: str
    free: float
    total: float


@dataclass(frozen=True, slots=True)
class Machine:
    """``memory``: what this process may have of the main memory, in GB."""

    memory: float
    gpus: tuple[Gpu, ...] = ()

    def words(self) -> str:
        """In one line."""
        gpus = ", ".join(f"{one.name} ({one.free:.0f} of {one.total:.0f} GB free)" for one in self.gpus)
        return f"this machine: {self.memory:.0f} GB of memory, {gpus or 'no GPU'}"

    def fit(self, needed: float) -> str:
        """In words, whether models that need so many GB fit: on a GPU as it is now, else in main memory."""
        for one in self.gpus:
            if one.free >= needed:
                return f"fits on {one.name}"
        if any(one.total >= needed for one in self.gpus):
            return "would fit on the GPU if it were free"
        if self.memory >= needed:
            return "fits in memory, slow without a GPU"
        return "does not fit here"


def this_machine() -> Machine:
    """What there is. torch is asked, and so loaded, only where there is a driver of a GPU."""
    gpus = []
    if shutil.which("nvidia-smi") is not None or Path("/dev/kfd").exists():
        import torch

        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            gpus.append(Gpu(torch.cuda.get_device_name(index), free / 1e9, total / 1e9))
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _LIMITS:
        path = Path(limit)
        text = path.read_text("ascii").strip() if path.is_file() else "max"
        if text.isdecimal():
            whole = min(whole, int(text))
    return Machine(whole / 1e9, tuple(gpus))
