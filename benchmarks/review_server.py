"""Runs to review and ``segagent review --serve`` as a process of its own, for the benchmarks of the server."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import httpx

from cheap_models import cheap_models, write_tiny_folder
from segagent.annotation.batch import RunConfig, run_job
from segagent.datasets import open_dataset
from segagent.search import SearchConfig

CHEAP = ("--tool", "disc", "--policy", "centre")
_PATIENCE = 120.0


def cheap_run(folder: Path, num_images: int = 10, per_image: int = 4) -> Path:
    """An audit of tiny pictures with models that cost nothing."""
    dataset = open_dataset(str(write_tiny_folder(folder / "data", num_images, per_image)))
    run_job(
        dataset, cheap_models, folder / "run", RunConfig("audit", SearchConfig()),
        notes={"policy": "centre", "tool": "disc"},
    )  # fmt: skip
    return folder / "run"


@dataclass(frozen=True)
class Server:
    """A server that was started: its process and base URL."""

    process: subprocess.Popen[str] | BaseProcess
    url: str

    def client(self, **more: Any) -> httpx.Client:
        """A client of its own connection."""
        return httpx.Client(base_url=f"{self.url}/api/v1", trust_env=False, **{"timeout": 60, **more})

    @property
    def cpu(self) -> float:
        """Seconds of computing that the process has used, all its threads together."""
        told = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def memory(self) -> float:
        """Megabytes that the process holds."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def serving(run: Path, *options: str) -> Iterator[Server]:
    """``segagent review RUN --serve`` on a free port, until the block ends."""
    command = [sys.executable, "-m", "segagent.cli.main", "review", str(run), "--serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield Server(process, _ready(process))
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _ready(process: subprocess.Popen[str]) -> str:
    """The address that the process says it is to be opened at."""
    assert process.stdout is not None
    deadline = time.monotonic() + _PATIENCE
    said = ""
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        said += line
        if "open http://" in line:
            url = line.split("open ")[1].strip().rstrip("/")
            while httpx.get(f"{url}/api/v1/session", trust_env=False).status_code != 200:
                time.sleep(0.01)
            return url
        if not line:
            break
    raise RuntimeError(f"the server did not start: {said}")
