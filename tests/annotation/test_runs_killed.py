"""A short round of benchmarks/crash_runs.py: killed with -9 at random moments, resumed, nothing lost, nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "crash_runs.py"
ROUND = ["--kinds", "audit", "--kills", "2", "--most-kills", "2", "--embedded-kills", "0", "--worker-kills", "1"]
"""One kind of the seven: all take minutes."""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for worker processes in /proc")
def test_killed_at_random_moments() -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), *ROUND],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "lost 0, duplicated 0" in ended.stdout
    assert "journals identical to the undisturbed ones: yes" in ended.stdout
