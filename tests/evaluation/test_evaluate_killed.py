"""The command, killed at random moments and started again, ends with the results of a run that nobody disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"), pytest.mark.slow]

TIMES = ("seconds", "seconds per accepted mask")


def command(out: Path, *options: str) -> list[str]:
    run = "import sys; from segagent.cli.main import main; sys.exit(main(sys.argv[1:]))"
    scenes = "scenes:40:size=64,sentences=2,split=val"
    return [
        sys.executable,
        "-c",
        run,
        "evaluate",
        scenes,
        "-o",
        str(out),
        "--tool",
        "disc",
        "--workers",
        "1",
        "--json",
        *options,
    ]


def untimed(out: Path) -> dict:
    found = json.loads((out / "results.json").read_text())
    return {**found, "metrics": {name: one for name, one in found["metrics"].items() if name not in TIMES}}


def run_and_kill(arguments: list[str], file: Path, grow: int, patience: float) -> bool:
    """Start the command and kill it once the journal has grown by ``grow`` bytes; False if it was done before that."""
    before = file.stat().st_size if file.exists() else 0
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < until:
        if file.exists() and file.stat().st_size >= before + grow:
            break
        time.sleep(0.001)
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("options", [("--policy", "centre"), ("--protocol", "noc", "--max-clicks", "3")])
def test_killed_and_started_again(tmp_path: Path, options: tuple[str, ...]) -> None:
    seed = int.from_bytes(os.urandom(4))
    print("seed", seed)
    rng = random.Random(seed)
    whole, out = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(whole, *options), check=True, stdout=subprocess.DEVNULL)
    file = out / "trajectories.jsonl"
    typical = (whole / "trajectories.jsonl").stat().st_size // 10
    killed, sizes = 0, set()
    for _ in range(20):
        # Some are killed while they start, before a single byte is written.
        patience = 120.0 if rng.random() < 0.8 else rng.uniform(0.05, 1.0)
        if run_and_kill(command(out, *options), file, rng.randint(1, 2 * typical), patience):
            killed += 1
            sizes.add(file.stat().st_size if file.exists() else 0)
        else:
            file.unlink()
        if killed == 3:
            break
    assert killed == 3
    assert len(sizes) > 1
    subprocess.run(command(out, *options), check=True, stdout=subprocess.DEVNULL)
    assert untimed(out) == untimed(whole)
    assert untimed(out)["complete"]
