"""cvat-cli itself registers the functions and runs their agent, against as much of a CVAT server as it asks for.

No CVAT is run here: what its server and its page make of the answers is not looked at.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from segagent.annotation.batch import make_models
from segagent.annotation.interop.cvat import mask_points
from segagent.annotation.python_api import annotate
from segagent.core import Box, Click, State, empty_mask
from segagent.environment import step
from segagent.imaging import encode_png, load_image
from segagent.tools import make_tool

pytest.importorskip("cvat_cli", reason="needs cvat-cli: pip install cvat-cli")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
HEIGHT, WIDTH = 120, 160
WHEN = "2026-11-27T00:00:00.000000Z"
LABEL = {"id": 41, "name": "red square", "color": "#ff0000", "attributes": [], "type": "any", "sublabels": [],
         "task_id": 1, "has_parent": False}  # fmt: skip
TASK = {"id": 1, "url": "http://127.0.0.1/api/tasks/1", "name": "task", "size": 2, "data": 1, "mode": "annotation",
        "data_chunk_size": 2, "data_original_chunk_type": "imageset", "data_compressed_chunk_type": "imageset",
        "dimension": "2d", "status": "annotation", "created_date": WHEN, "updated_date": WHEN, "project_id": None,
        "organization": None, "organization_id": None,
        "jobs": {"count": 1, "completed": 0, "validation": 0, "url": "http://127.0.0.1/api/jobs?task_id=1"},
        "labels": {"url": "http://127.0.0.1/api/labels?task_id=1"}}  # fmt: skip
META = {"chunks_updated_date": WHEN, "deleted_frames": [], "chunk_size": 2, "size": 2, "image_quality": 70,
        "start_frame": 0, "stop_frame": 1, "frame_filter": "",
        "frames": [{"name": f"{name}.png", "width": WIDTH, "height": HEIGHT, "related_files": 0} for name in "ab"],
        }  # fmt: skip


def pictures() -> list[bytes]:
    """One with a red square, one without."""
    plain = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    with_square = plain.copy()
    with_square[40:80, 60:110] = (200, 30, 30)
    return [encode_png(with_square), encode_png(plain)]


class Server(ThreadingHTTPServer):
    """What cvat-cli 2.80 asks of a CVAT server. ``waiting``: requests of annotators; ``done``: what came of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.function: dict[str, Any] = {}
        self.waiting: list[dict[str, Any]] = []
        self.done: dict[str, dict[str, Any]] = {}
        self.failed: dict[str, Any] = {}

    def answer(self, method: str, path: str, asked: dict[str, list[str]], body: dict[str, Any]) -> Any:
        """JSON or bytes; None where there is nothing like that."""
        if path == "/api/server/about":
            return {"name": "CVAT", "description": "", "version": "2.80.0", "logo_url": "", "subtitle": ""}
        if path == "/api/functions" and method == "POST":
            self.function = {"min_neg_points": -1, "startswith_box": False, "startswith_box_optional": False, **body}
            self.function["id"] = 7
            return self.function
        if path == "/api/functions/7":
            return self.function
        if path.endswith("/requests/acquire"):
            wanted = body["request_category"] == "batch"
            return {"ar_assignment": self.waiting.pop(0) if wanted and self.waiting else None}
        if found := re.search(r"/requests/(\w+)/(complete|fail|update)$", path):
            {"complete": self.done, "fail": self.failed, "update": {}}[found[2]][found[1]] = body
            return {}
        if path == "/api/tasks/1":
            return TASK
        if path == "/api/labels":
            return {"count": 1, "next": None, "previous": None, "results": [LABEL]}
        if path == "/api/tasks/1/data/meta":
            return META
        if path == "/api/tasks/1/data" and asked["type"] == ["frame"]:
            return pictures()[int(asked["number"][0])]
        if path == "/api/tasks/1/data":
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                for number, content in enumerate(pictures()):
                    archive.writestr(f"{number:06}.png", content)
            return packed.getvalue()
        return None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def _do(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = self.server.answer(
            self.command, parts.path.rstrip("/"), parse_qs(parts.query), json.loads(content) if content else {}
        )
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(404 if answer is None else 201 if self.command == "POST" else 200)
        self.send_header(
            "content-type", "application/octet-stream" if isinstance(answer, bytes) else "application/json"
        )
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _do

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def cli(server: Server, *words: str) -> str:
    command = [sys.executable, "-m", "cvat_cli", "--server-host", f"http://127.0.0.1:{server.server_port}", *words]
    environment = {**os.environ, "CVAT_ACCESS_TOKEN": "token"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def request(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"ar_id": name, "ar_params": {"type": kind, "task": 1, **more}}


def test_an_agent_looks_for_sentences(server: Server, tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_text('{"red square": ["the red square", "the red thing"]}')
    function = ("--function-module", "segagent.annotation.interop.cvat_function",
                "-p", f"texts_file=str:{tmp_path / 'labels.json'}")  # fmt: skip
    assert cli(server, "function", "create-native", "SegAgent", *function).strip() == "7"
    assert server.function["kind"] == "detector"
    assert server.function["labels_v2"] == [{"name": "red square", "attributes": [], "type": "mask"}]
    # As CVAT's server gives a function back.
    server.function["labels_v2"] = [{"name": "red square", "attributes": [], "type": "mask", "sublabels": []}]
    how = {"mapping": {"red square": {"name": "red square", "attributes": {}}}}
    server.waiting = [
        request("all", "annotate_task", **how, threshold=None, conv_mask_to_poly=False),
        request("frame", "annotate_frame", frame=0, **how, threshold=0.0, conv_mask_to_poly=False),
        request("sure", "annotate_frame", frame=0, **how, threshold=1.0, conv_mask_to_poly=False),
        request("outline", "annotate_frame", frame=0, **how, threshold=0.0, conv_mask_to_poly=True),
    ]
    cli(server, "function", "run-agent", "7", "--burst", *function)
    assert server.failed == {}
    models = make_models("embedded", "embedded")
    image = load_image("sent", content=pictures()[0])
    masks = [annotate(image, text, models=models, found=0).mask for text in ("the red square", "the red thing")]
    told = {name: one["annotations"]["shapes"] for name, one in server.done.items()}
    assert [(shape["label_id"], shape["frame"], shape["type"]) for shape in told["frame"]] == [(41, 0, "mask")] * 2
    assert [shape["points"] for shape in told["frame"]] == [mask_points(mask) for mask in masks]
    assert [shape["points"] for shape in told["all"] if shape["frame"] == 0] == [mask_points(mask) for mask in masks]
    assert told["sure"] == []
    assert [shape["type"] for shape in told["outline"]] == ["polygon"] * 2


def test_an_agent_answers_clicks(server: Server) -> None:
    function = "--function-module", "segagent.annotation.interop.cvat_clicks", "-p", "tool=str:embedded"
    cli(server, "function", "create-native", "Clicks", *function)
    assert (server.function["kind"], server.function["min_pos_points"], server.function["min_neg_points"]) == (
        "interactor", 0, 0
    )  # fmt: skip
    assert server.function["startswith_box_optional"] is True
    server.waiting = [
        request("clicked", "interact", frame=0, pos_points=[[80.5, 60.2]], neg_points=[], obj_bbox=[]),
        request("mended", "interact", frame=0, pos_points=[[80.5, 60.2]], neg_points=[[20.0, 20.0]], obj_bbox=[]),
        request("boxed", "interact", frame=0, pos_points=[], neg_points=[], obj_bbox=[[55.5, 35.5], [115.0, 85.0]]),
    ]
    cli(server, "function", "run-agent", "7", "--burst", *function)
    assert server.failed == {}
    tool, image = make_tool("embedded"), load_image("sent", content=pictures()[0])
    embedding = tool.embed([image])[0]
    expected = {"clicked": [Click(80, 60, True)], "mended": [Click(80, 60, True), Click(20, 20, False)],
                "boxed": [Box(55, 35, 115, 85)]}  # fmt: skip
    for name, prompts in expected.items():
        state = State(empty_mask(HEIGHT, WIDTH))
        for prompt in prompts:
            state = step(embedding, state, prompt, tool)
        (shape,) = server.done[name]["shapes"]
        assert (shape["type"], shape["points"]) == ("mask", mask_points(state.mask))
