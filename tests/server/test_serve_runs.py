"""``/v1/runs``: data sets annotated for clients, stopped, gone on with, and what a server that dies leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

import httpx
from fastapi.testclient import TestClient

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models, RunConfig, open_run, run_job
from segagent.core import Segmentation, SegmentRequest
from segagent.datasets import open_dataset
from segagent.search import SearchConfig
from segagent.server.api.app import create_api
from segagent.server.api.files import Files
from segagent.tools.fake import DiscTool

SCENES = "scenes:6:size=64,sentences=1"


class GatedTool(DiscTool):
    """Answers so many questions, then waits until it is let."""

    thread_safe = False

    def __init__(self, free: int) -> None:
        super().__init__()
        self.free, self.open = free, threading.Event()

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        self.free -= 1
        if self.free < 0:
            assert self.open.wait(30)
        return super().segment(requests)


def served(folder: Path, tool: DiscTool | None = None, **more: Any) -> TestClient:
    app = create_api(Models(CheapPolicy(), tool or DiscTool()), files=Files(runs=folder, **more))
    return TestClient(app, base_url="http://127.0.0.1")


def closed(client: TestClient) -> None:
    for one in client.app.state.kept:  # type: ignore[attr-defined]
        one.close()


def until(client: Any, name: str, *states: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while (told := client.get(f"/v1/runs/{name}").json())["state"] not in states:
        assert time.monotonic() < deadline, told
        time.sleep(0.02)
    return told  # type: ignore[no-any-return]


def records(folder: Path) -> list[dict[str, Any]]:
    """A run's records without their times."""
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()[1:]]
    for line in lines:
        if "trajectory" in line:
            line["trajectory"]["seconds"] = 0
    return lines


def test_a_run_is_what_the_command_makes(tmp_path: Path) -> None:
    client = served(tmp_path / "runs")
    asked = {"job": "annotate", "dataset": SCENES, "name": "mine", "steps": 2, "seed": 3}
    begun = client.post("/v1/runs", json=asked)
    assert begun.status_code == 201
    assert (begun.json()["run"], begun.json()["images"]) == ("mine", 6)
    told = until(client, "mine", "done")
    assert (told["images_done"], told["objects"], told["failed"], told["error"]) == (6, 6, 0, None)
    config = RunConfig("annotate", SearchConfig(max_steps=2), seed=3)
    run_job(open_dataset(SCENES), lambda: Models(CheapPolicy(), DiscTool()), tmp_path / "own", config)
    assert records(tmp_path / "runs" / "mine") == records(tmp_path / "own")

    first = client.get("/v1/runs/mine/results?limit=4").json()
    rest = client.get(f"/v1/runs/mine/results?after={first['next']}").json()
    results = [*first["results"], *rest["results"]]
    own = list(open_run(tmp_path / "own").objects())
    assert [one["object_id"] for one in results] == [one.object_id for one in own]
    assert [one["mask"] for one in results] == [one.trajectory.rle_at(one.trajectory.returned) for one in own]
    assert rest["next"] is None
    assert client.get("/v1/runs/mine/summary").json()["summary"]["objects"] == 6
    assert [one["run"] for one in client.get("/v1/runs").json()["runs"]] == ["mine"]
    assert client.post("/v1/runs", json=asked).status_code == 409
    closed(client)


def test_progress_is_told_as_events(tmp_path: Path) -> None:
    client = served(tmp_path)
    client.post("/v1/runs", json={"job": "audit", "dataset": SCENES, "name": "mine"})
    answer = client.get("/v1/runs/mine/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block.split("\n") for block in answer.text.split("\n\n") if block.startswith("event: run")]
    told = [json.loads(lines[2].removeprefix("data: ")) for lines in events]
    assert told[-1]["state"] == "done"
    assert [one["images_done"] for one in told] == sorted(one["images_done"] for one in told)
    numbers = [int(lines[1].removeprefix("id: ")) for lines in events]
    assert numbers == sorted(set(numbers))
    closed(client)


def test_a_run_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    tool = GatedTool(5)
    client = served(tmp_path, tool)
    asked = {"job": "annotate", "dataset": SCENES, "steps": 2}
    client.post("/v1/runs", json={**asked, "name": "first"})
    client.post("/v1/runs", json={**asked, "name": "second"})
    while tool.free >= 0:
        time.sleep(0.01)
    assert until(client, "second", "waiting")["images_done"] == 0
    assert client.get("/v1/runs/first/summary").status_code == 409
    assert client.post("/v1/runs/second/stop", json={}).status_code == 200
    assert client.post("/v1/runs/first/resume", json={}).status_code == 409
    client.post("/v1/runs/first/stop", json={})
    tool.open.set()
    told = until(client, "first", "stopped")
    assert told["images_done"] < 6
    assert until(client, "second", "stopped")["objects"] == 0
    assert client.get("/v1/runs/second/results").json() == {"results": [], "next": None}
    closed(client)

    # A server that is started anew.
    again = served(tmp_path)
    left = again.get("/v1/runs/first").json()
    assert (left["state"], left["objects"]) == ("stopped", told["objects"])
    assert again.post("/v1/runs/first/resume", json={"limit": 5}).json()["state"] in ("waiting", "running", "stopped")
    assert until(again, "first", "stopped")["images_done"] == 5
    again.post("/v1/runs/first/resume", json={})
    assert until(again, "first", "done")["objects"] == 6
    config = RunConfig("annotate", SearchConfig(max_steps=2))
    run_job(open_dataset(SCENES), lambda: Models(CheapPolicy(), DiscTool()), tmp_path / "own", config)
    assert records(tmp_path / "first") == records(tmp_path / "own")
    closed(again)


def test_a_server_that_died_left_its_runs_stopped(tmp_path: Path) -> None:
    client = served(tmp_path)
    client.post("/v1/runs", json={"job": "annotate", "dataset": SCENES, "name": "mine", "steps": 1})
    until(client, "mine", "done")
    closed(client)
    path = tmp_path / "mine" / "asked.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "state": "running"}))
    again = served(tmp_path)
    told = again.get("/v1/runs/mine").json()
    assert (told["state"], told["error"], told["images_done"]) == ("stopped", "the server ended", 6)
    closed(again)


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"dataset": "scenes:0"}, 422),
        ({"dataset": "../data"}, 422),
        ({"dataset": "/etc"}, 422),
        ({"dataset": "missing"}, 422),
        ({"dataset": "python:os:getcwd"}, 422),
        ({"dataset": "coco:data.json:images=/etc"}, 422),
        ({"name": "../x"}, 422),
        ({"name": ".."}, 422),
        ({"workers": 2}, 422),
        ({"job": "train"}, 422),
        ({"more": 1}, 422),
    ],
)
def test_what_cannot_be_run_is_refused(tmp_path: Path, asked: dict[str, Any], status: int) -> None:
    (tmp_path / "root").mkdir()
    client = served(tmp_path / "runs", root=tmp_path / "root")
    answer = client.post("/v1/runs", json={"job": "annotate", "dataset": SCENES, "name": "mine", **asked})
    assert answer.status_code == status, answer.text
    assert client.get("/v1/runs").json() == {"runs": []}
    assert not list((tmp_path / "runs").iterdir()), "nothing is left of it"
    closed(client)


def test_files_are_taken_below_the_root_alone(tmp_path: Path) -> None:
    assert "--root" in served(tmp_path / "a").post("/v1/runs", json={"job": "audit", "dataset": "x"}).text
    without = TestClient(create_api(Models(CheapPolicy(), DiscTool())), base_url="http://127.0.0.1")
    for path in ("/v1/runs", "/v1/runs/mine", "/v1/runs/mine/events", "/v1/runs/mine/results"):
        assert without.get(path).status_code == 404
    assert "--runs" in without.get("/v1/runs").text
    assert served(tmp_path / "b").get("/v1/runs/mine").json()["error"]["code"] == "no_run"


@pytest.mark.slow
def test_killed_workers_and_a_killed_server_cost_no_work(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "segagent.cli.main",
        "serve",
        "--policy",
        "centre",
        "--tool",
        "disc",
        "--port",
        "0",
    ]

    def begun() -> tuple[subprocess.Popen[str], httpx.Client]:
        process = subprocess.Popen(
            [*command, "--runs", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        url = process.stdout.readline().strip().rpartition(" at ")[2].removesuffix("/v1")
        return process, httpx.Client(base_url=url, trust_env=False, timeout=60)

    def children(parent: int) -> list[int]:
        found = Path(f"/proc/{parent}/task").glob("*/children")
        return [int(one) for path in found for one in path.read_text().split()]

    def gone(process: subprocess.Popen[str], client: httpx.Client) -> None:
        client.close()
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()

    process, client = begun()
    try:
        asked = {"job": "annotate", "dataset": "scenes:200:size=64,sentences=1", "name": "mine", "workers": 1}
        assert client.post("/v1/runs", json=asked).status_code == 201
        deadline = time.monotonic() + 60
        while client.get("/v1/runs/mine").json()["images_done"] < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for child in children(process.pid):
            command_line = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"spawn_main" in command_line:
                os.kill(child, signal.SIGKILL)
        done = client.get("/v1/runs/mine").json()["images_done"]
        assert done < 200
        while (told := client.get("/v1/runs/mine").json())["images_done"] < done + 2 and told["state"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert told["state"] in ("running", "done")
        gone(process, client)
        process, client = begun()
        left = client.get("/v1/runs/mine").json()
        assert left["images_done"] >= told["images_done"]
        assert client.post("/v1/runs/mine/resume", json={"retry_failed": True}).status_code == 200
        ended = until(client, "mine", "done", "failed")
        assert (ended["state"], ended["images_done"], ended["failed"]) == ("done", 200, 0)
    finally:
        gone(process, client)
