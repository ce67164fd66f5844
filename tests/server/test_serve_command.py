"""``segagent serve-policy`` as a process of its own, the embedded policy behind it, and a foreign server beside it."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import httpx
import numpy as np
import pytest

from segagent.annotation import annotate_image
from segagent.core import Image, InvalidAction, Trajectory
from segagent.policies import make_policy
from segagent.policies.chat import ChatPolicy
from segagent.policies.openai import ServedModel
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

HAS_WEIGHTS = Path(str(files("segagent") / "weights" / "policy.safetensors")).is_file()


@contextmanager
def process(command: list[str], health: str, seconds: float) -> Iterator[None]:
    """A server that runs until the block ends. Fails if it does not come up, skips if it says what is not installed."""
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if httpx.get(health, trust_env=False, timeout=2).status_code < 500:
                    break
            except httpx.TransportError:
                pass
            if running.poll() is not None or time.monotonic() > deadline:
                running.kill()
                output, _ = running.communicate()
                said = output.decode(errors="replace")[-500:]
                if "Missing dependencies" in said:
                    pytest.skip(f"{command[0]}: {said}")
                pytest.fail(f"{command[0]} did not start serving: {said}")
            time.sleep(0.2)
        yield
    finally:
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def close(policy: ChatPolicy) -> None:
    assert isinstance(policy.model, ServedModel)
    policy.model.close()


def scene() -> Image:
    rng = np.random.default_rng(0)
    pixels = np.full((120, 160, 3), 180, np.uint8)
    pixels[30:80, 40:100] = (200, 30, 30)
    return Image.of(pixels - rng.integers(0, 5, pixels.shape, np.uint8))


def told(trajectory: Trajectory) -> list[object]:
    return [(step.action, step.mask, step.predicted_iou) for step in trajectory.steps]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["centre", pytest.param("embedded", marks=pytest.mark.skipif(not HAS_WEIGHTS, reason="no weights yet"))]
)
def test_annotate_through_the_command(name: str, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "segagent.cli.main", "serve-policy", name, "--port", str(port)]
    with process(command, f"http://127.0.0.1:{port}/health", 120):
        served = make_policy(f"openai:segagent@http://127.0.0.1:{port}/v1?cache={tmp_path}")
        assert isinstance(served, ChatPolicy)
        for candidates in (1, 3) if name == "embedded" else (1,):
            config = SearchConfig(max_steps=4, num_candidates=candidates)
            over_http, in_process = (
                annotate_image(scene(), "the red mug", policy, DiscTool(), config, seed=3)
                for policy in (served, make_policy(name))
            )
            assert told(over_http) == told(in_process)
            assert over_http.returned == in_process.returned
        close(served)


@pytest.mark.slow
def test_foreign_server(tmp_path: Path) -> None:
    """``transformers serve`` with a random-weight LLaVA: it ignores n, so candidates are asked for one by one."""
    pytest.importorskip("transformers")
    sys.path.insert(0, str(Path(__file__).parents[1] / "policies" / "hf"))
    from tiny_checkpoints import make_llava

    folder = make_llava(tmp_path / "tiny")
    port = free_port()
    program = Path(sys.executable).with_name("transformers")
    command = [str(program), "serve", str(folder), "--device", "cpu", "--port", str(port)]
    with process(command, f"http://127.0.0.1:{port}/health", 180):
        policy = make_policy(
            f"openai:{folder}@http://127.0.0.1:{port}/v1?format=paper&max_tokens=8&retries=1&cache={tmp_path}"
        )
        from segagent.core import Observation, empty_mask

        look = Observation(scene(), "the red mug", empty_mask(120, 160))
        rows = policy.propose([look, look], 3, temperature=1.0, seeds=[1, 2])
        assert isinstance(policy, ChatPolicy)
        close(policy)
    assert [len(row) for row in rows] == [3, 3]
    assert all(isinstance(proposal.action, InvalidAction) for row in rows for proposal in row)
    assert rows[0][0].text == rows[1][0].text, "the greedy reply is asked once"
