"""The command, killed at random moments and started again, ends with the file of a run that nobody disturbed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def command(out: Path, scenes: str, tool: str, workers: int) -> list[str]:
    run = "import sys; from segagent.cli.main import main; sys.exit(main(sys.argv[1:]))"
    options = ["--tool", tool, "--workers", str(workers), "--json"]
    return [sys.executable, "-c", run, "trajectories", scenes, "-o", str(out), *options]


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def run_and_kill(arguments: list[str], out: Path, grow: int, patience: float) -> bool:
    """Start the command and kill it once the file has grown by ``grow`` bytes; False if it was done before that."""
    before = out.stat().st_size if out.exists() else 0
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    workers: list[int] = []
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        if out.exists() and out.stat().st_size >= before + grow:
            break
        time.sleep(0.001)
    if process.poll() is None:
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
    killed = process.wait() == -signal.SIGKILL
    until = time.monotonic() + 20
    while killed and any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker outlived the killed command"
        time.sleep(0.01)
    return killed


def check(tmp_path: Path, scenes: str, tool: str, workers: int, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    whole, out = tmp_path / "whole.jsonl", tmp_path / "killed.jsonl"
    subprocess.run(command(whole, scenes, tool, 1), check=True, stdout=subprocess.DEVNULL)
    done = 0
    typical = whole.stat().st_size // (2 * kills)
    sizes = []
    for _ in range(kills * 6):
        if done == kills:
            break
        # Some are killed while they start, before a single byte is written.
        patience = 60.0 if rng.random() < 0.8 else rng.uniform(0.05, 1.0)
        if run_and_kill(command(out, scenes, tool, workers), out, rng.randint(0, 2 * typical), patience):
            done += 1
            sizes.append(out.stat().st_size if out.exists() else 0)
        else:
            out.unlink()
    assert done == kills
    assert len(set(sizes)) > 1
    subprocess.run(command(out, scenes, tool, workers), check=True, stdout=subprocess.DEVNULL)
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_killed_with_workers(tmp_path: Path) -> None:
    check(tmp_path, "scenes:40:size=64", "disc", workers=2, kills=3, seed=int.from_bytes(os.urandom(4)))
