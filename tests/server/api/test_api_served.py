"""A real server on the loopback interface: many clients at once, some of which behave badly, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from cheap_models import CheapPolicy
from quiet_server import app_served
from segagent.annotation.batch import Models
from segagent.annotation.python_api import annotate
from segagent.core import Click, Image, Segmentation, SegmentRequest, State, empty_mask, encode_rle
from segagent.environment import step
from segagent.imaging import encode_png
from segagent.search import SearchConfig
from segagent.server.api.app import create_api
from segagent.server.api.limits import Limits
from segagent.tools.fake import DiscTool


class SlowTool(DiscTool):
    """Answers when it is let."""

    thread_safe = False

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.batches: list[int] = []

    def segment(self, requests: list[SegmentRequest]) -> list[Segmentation]:  # type: ignore[override]
        assert self.open.wait(30)
        self.batches.append(len(requests))
        return super().segment(requests)


@contextlib.contextmanager
def serving(tool: DiscTool, **limits: Any) -> Iterator[str]:
    """The base URL of a server in a thread of this process."""
    with app_served(create_api(Models(CheapPolicy(), tool), limits=Limits(**limits))) as url:
        yield url


def client(url: str, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=60, **more)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(DiscTool()) as found:
        yield found


def picture(seed: int) -> np.ndarray[Any, Any]:
    """Distinct pictures of distinct sizes, so that an answer for another one would be seen."""
    height, width = 20 + seed % 7, 30 + seed % 11
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def answered(mine: httpx.Client, what: str, **more: Any) -> httpx.Response:
    """The answer, asked for again where the server is busy, as it says."""
    while (answer := mine.post(f"/v1/{what}", **more)).status_code == 503:
        assert answer.headers["retry-after"] == "1"
        time.sleep(0.05)
    assert answer.status_code == 200, answer.text
    return answer


def one_client(url: str, seed: int, count: int) -> None:
    """Requests of all kinds about a picture of one's own; each answer must be the one in Python."""
    draw, pixels = random.Random(seed), picture(seed)
    height, width = pixels.shape[:2]
    image, tool, models = Image.of(pixels), DiscTool(), Models(CheapPolicy(), DiscTool())
    with client(url) as mine:
        sent = answered(mine, "pictures", content=encode_png(pixels), headers={"content-type": "image/png"})
        name = sent.json()["picture"]
        clicks: list[Click] = []
        state = State(empty_mask(height, width))
        for number in range(count):
            if draw.random() < 0.7:
                clicks.append(Click(draw.randrange(width), draw.randrange(height), draw.random() < 0.7))
                state = step(tool.embed([image])[0], state, clicks[-1], tool)
                told = [{"x": one.x, "y": one.y, "positive": one.positive} for one in clicks]
                answer = answered(mine, "segment", json={"picture": name, "clicks": told})
                assert answer.json()["mask"] == encode_rle(state.mask)
            else:
                text, search = f"thing {seed} {number}", SearchConfig(max_steps=3, num_candidates=draw.choice([1, 3]))
                expected = annotate(image, text, models=models, search=search, seed=seed).trajectory.to_dict()
                asked = {"text": text, "steps": 3, "candidates": search.num_candidates, "seed": seed}
                answer = answered(mine, "annotate", json={"picture": name, **asked})
                found = answer.json()["trajectory"]
                assert {**found, "seconds": 0} == {**expected, "seconds": 0}
            assert answer.json()["picture"] == name


@settings(max_examples=4, deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=8, unique=True))
def test_answers_of_many_clients_are_never_mixed_up(url: str, seeds: list[int]) -> None:
    with ThreadPoolExecutor(len(seeds)) as pool:
        for done in [pool.submit(one_client, url, seed, 5) for seed in seeds]:
            done.result(60)


@pytest.mark.slow
def test_thirty_two_clients_while_others_behave_badly(url: str) -> None:
    stop = threading.Event()

    def badly() -> None:
        draw = random.Random(0)
        while not stop.wait(0.01):
            broken_off(url, draw.choice([b"", b"{", b'{"image": "aaaa']), draw.choice([10, 10_000]))

    with ThreadPoolExecutor(36) as pool:
        bad = [pool.submit(badly) for _ in range(2)]
        try:
            for done in [pool.submit(one_client, url, seed, 12) for seed in range(100, 132)]:
                done.result(120)
        finally:
            stop.set()
        for one in bad:
            one.result(10)
    with client(url) as mine:
        assert "segagent_requests_in_flight 0" in until(mine, "segagent_requests_in_flight 0")


def broken_off(url: str, part: bytes, length: int) -> None:
    """A client that promises ``length`` bytes, sends less, and is gone."""
    begun(url, part, length).close()


def begun(url: str, part: bytes, length: int) -> socket.socket:
    """The connection of a request of ``length`` bytes, of which ``part`` is sent."""
    connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    head = ["POST /v1/segment HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    connection.sendall("\r\n".join([*head, f"Content-Length: {length}", "", ""]).encode() + part)
    return connection


def until(mine: httpx.Client, line: str) -> str:
    """The metrics, once they hold ``line``."""
    deadline = time.monotonic() + 20
    while line not in (text := mine.get("/metrics").text):
        assert time.monotonic() < deadline, text
        time.sleep(0.01)
    return text


def test_uploads_that_break_off_disturb_nobody() -> None:
    with serving(DiscTool(), waiting=2) as url, client(url) as mine:
        for count in range(1, 6):
            broken_off(url, b'{"image": "', 10_000)
            until(mine, f'segagent_requests_total{{endpoint="/v1/segment",status="400"}} {count}')
        one_client(url, 3, 2)


def test_clients_that_are_gone_are_not_worked_for() -> None:
    tool = SlowTool()
    with serving(tool, waiting=8) as url, client(url) as mine:
        sent = mine.post("/v1/pictures", content=encode_png(picture(0)), headers={"content-type": "image/png"})
        name = sent.json()["picture"]
        body = json.dumps({"picture": name, "clicks": [{"x": 3, "y": 4}, {"x": 9, "y": 9}, {"x": 5, "y": 5}]}).encode()
        broken = begun(url, body, len(body))
        until(mine, "segagent_requests_in_flight 1")
        broken.close()
        until(mine, 'segagent_requests_total{endpoint="/v1/segment",status="499"} 1')
        tool.open.set()
        until(mine, "segagent_requests_in_flight 0")
        assert len(tool.batches) <= 1, "of three clicks at most the one that was under way"


def test_a_full_queue_and_a_slow_model_are_told() -> None:
    tool = SlowTool()
    with serving(tool, waiting=4, seconds=2) as url, client(url) as mine, ThreadPoolExecutor(6) as pool:
        sent = mine.post("/v1/pictures", content=encode_png(picture(0)), headers={"content-type": "image/png"})
        body = {"picture": sent.json()["picture"], "clicks": [{"x": 3, "y": 4}]}
        first = pool.submit(mine.post, "/v1/segment", json=body)
        until(mine, "segagent_requests_in_flight 1")
        others = [pool.submit(mine.post, "/v1/segment", json={**body, "clicks": [{"x": x, "y": 4}]}) for x in range(3)]
        until(mine, "segagent_requests_in_flight 4")
        refused = mine.post("/v1/segment", json=body)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["code"] == "busy"
        assert mine.get("/health").status_code == 200
        for one in (first, *others):
            assert one.result().status_code == 504
            assert one.result().json()["error"]["code"] == "timeout"
        tool.open.set()
        until(mine, "segagent_requests_in_flight 0")
        assert mine.post("/v1/segment", json=body).status_code == 200


def test_what_waits_is_asked_together() -> None:
    tool = SlowTool()
    with serving(tool) as url, client(url) as mine, ThreadPoolExecutor(9) as pool:
        names = []
        for seed in range(9):
            sent = mine.post("/v1/pictures", content=encode_png(picture(seed)), headers={"content-type": "image/png"})
            names.append(sent.json()["picture"])

        def click(number: int) -> Any:
            return mine.post("/v1/segment", json={"picture": names[number], "clicks": [{"x": number, "y": 4}]}).json()

        answers = [pool.submit(click, 0)]
        until(mine, 'segagent_model_calls_total{model="tool and policy"} 1')
        answers += [pool.submit(click, number) for number in range(1, 9)]
        until(mine, 'segagent_queue{model="tool and policy"} 8')
        tool.open.set()
        for number, one in enumerate(answers):
            state = State(empty_mask(*picture(number).shape[:2]))
            disc = step(tool.embed([Image.of(picture(number))])[0], state, Click(number, 4, True), DiscTool())
            assert one.result()["mask"] == encode_rle(disc.mask)
        assert sorted(tool.batches) == [1, 8]


@pytest.mark.slow
def test_the_command_answers_what_is_under_way_before_it_ends(tmp_path: Path) -> None:
    module = tmp_path / "slow_tool.py"
    module.write_text(
        "import time\nfrom segagent.tools.fake import DiscTool\n\n\nclass Slow(DiscTool):\n"
        "    def segment(self, requests):\n        time.sleep(2)\n        return super().segment(requests)\n"
    )
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "segagent.cli.main", "serve", "--policy", "centre"]
    command += ["--tool", "python:slow_tool:Slow", "--port", "0", "--log"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        url = line.strip().rpartition(" at ")[2].removesuffix("/v1")
        with client(url) as mine, ThreadPoolExecutor(1) as pool:
            sent = mine.post("/v1/pictures", content=encode_png(picture(0)), headers={"content-type": "image/png"})
            body = {"picture": sent.json()["picture"], "clicks": [{"x": 3, "y": 4}]}
            under_way = pool.submit(mine.post, "/v1/segment", json=body)
            until(mine, "segagent_requests_in_flight 1")
            process.send_signal(signal.SIGINT)
            assert under_way.result().status_code == 200
        said, logged = process.communicate(timeout=30)
        assert said.endswith("stopped\n")
        assert process.returncode == 0
        requests = [json.loads(line)["request"] for line in logged.splitlines() if line.startswith("{")]
        assert {"/v1/pictures", "/v1/segment", "/metrics"} <= {one["endpoint"] for one in requests}
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
