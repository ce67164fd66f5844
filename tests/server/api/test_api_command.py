"""``segagent serve``: what the command says and refuses, and the chat protocol beside the rest."""

from __future__ import annotations

import base64
import json
import random
import socket
import sys
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from cheap_models import CheapPolicy
from segagent.annotation.batch import Models
from segagent.cli.main import app
from segagent.core import Image, InputError, Observation, Proposal, Usage, encode_rle, frozen_mask
from segagent.imaging import encode_png
from segagent.policies import CentrePolicy
from segagent.policies.chat import FORMATS
from segagent.policies.first_box import FirstBoxPolicy
from segagent.server.api import serving
from segagent.server.api.app import create_api
from segagent.server.api.room import Room
from segagent.server.worker import Patience
from segagent.tools.fake import DiscTool

MODELS = ["--policy", "centre", "--tool", "disc"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been served; the command goes on as after Ctrl-C."""
    found: list[dict[str, Any]] = []

    def listen(app: Any, host: str, port: int, ready: Any, grace: int, ending: Any) -> None:
        del ending
        found.append({"app": app, "host": host, "port": port, "grace": grace})
        ready(f"http://{host}:{port}")
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "listen", listen)
    return found


def said(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == status, result.output
    return result.output


def test_it_says_where_and_what(asked: list[dict[str, Any]]) -> None:
    words = said(*MODELS, "--timeout", "7")
    assert words.startswith("serving centre with the tool disc at http://127.0.0.1:8321/v1\n")
    assert words.endswith("stopped\n")
    assert "Bearer" not in words
    assert (asked[0]["port"], asked[0]["grace"]) == (8321, 7)


def test_others_need_a_token(asked: list[dict[str, Any]]) -> None:
    words = said(*MODELS, "--host", "0.0.0.0")
    token = words.partition("Bearer ")[2].partition("'")[0]
    assert len(token) >= 16
    client = TestClient(asked[0]["app"], base_url="http://127.0.0.1")
    assert client.get("/health").status_code == 401
    assert client.get("/health", headers={"authorization": f"Bearer {token}"}).status_code == 200
    for given, status in ((f"anyone:{token}", 200), (f"{token}:", 401), ("anyone:wrong", 401), ("", 401)):
        basic = base64.b64encode(given.encode()).decode()
        assert client.get("/health", headers={"authorization": f"Basic {basic}"}).status_code == status
    assert client.get("/health", headers={"authorization": "Basic é".encode("latin-1")}).status_code == 401
    assert "16" in said(*MODELS, "--token", "short", status=2)


def test_what_cannot_be_served_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "unknown tool" in said("--policy", "centre", "--tool", "pen", status=2)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in said(*MODELS, "--port", port, status=2)
    monkeypatch.setitem(sys.modules, "segagent.server.api.app", None)
    assert "pip install 'segagent[serve]'" in said(*MODELS, status=2)


class NoBox(DiscTool):
    accepts_box = False


class BoxFirst(FirstBoxPolicy):
    def __init__(self) -> None:
        self.policy, self._name = CentrePolicy(), "boxed"


def test_a_box_first_needs_a_tool_that_takes_it() -> None:
    with pytest.raises(InputError, match="takes no box"):
        Room(Models(BoxFirst(), NoBox()))
    room = Room(Models(BoxFirst(), DiscTool()))
    assert room.models(Patience()).policy.name == "boxed"
    assert room.models(Patience(), started=True).policy.name == "centre"


class Telling(CheapPolicy):
    """Tells what its replies cost."""

    def propose(self, *asked: Any, **more: Any) -> list[list[Proposal]]:
        return [
            [Proposal(one.action, one.predicted_iou, None, one.text, Usage(prompt_tokens=9, completion_tokens=2))]
            for (one, *_) in super().propose(*asked, **more)
        ]


@pytest.mark.parametrize(
    ("policy", "usage"),
    [(CheapPolicy(), None), (Telling(), {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})],
)
def test_chat_completions_tell_usage_where_the_policy_does(policy: CheapPolicy, usage: Any) -> None:
    client = TestClient(create_api(Models(policy, DiscTool())), base_url="http://127.0.0.1")
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    look = Observation(Image.of(pixels), "the mug", frozen_mask(np.zeros((20, 30), np.bool_)))
    chat = FORMATS["segagent"]
    urls = [f"data:image/png;base64,{base64.b64encode(encode_png(p.pixels)).decode()}" for p in chat.pictures(look)]
    content = [
        *({"type": "image_url", "image_url": {"url": url}} for url in urls),
        {"type": "text", "text": chat.prompt(look)},
    ]
    body = {"model": "x", "messages": [{"role": "user", "content": content}]}
    told = client.post("/v1/chat/completions", json=body).json()
    assert told.get("usage") == usage
    ((expected,),) = policy.propose([look])
    height, width = look.mask.shape
    read = chat.parse(told["choices"][0]["message"]["content"], height, width)
    assert read == (expected.action, expected.predicted_iou)
    assert client.get("/v1/models").json()["data"][0]["id"] == "cheap"
    refused = client.post("/v1/chat/completions", json={})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")


def test_damaged_requests_never_break_the_server() -> None:
    client = TestClient(create_api(Models(CheapPolicy(), DiscTool())), base_url="http://127.0.0.1")
    inline = base64.b64encode(encode_png(np.zeros((9, 12, 3), np.uint8))).decode()
    mask = encode_rle(np.ones((9, 12), np.bool_))
    bodies = {
        "segment": {"image": inline, "clicks": [{"x": 3, "y": 4, "positive": True}], "box": [1, 2, 8, 8], "mask": mask},
        "score": {"image": inline, "text": "the mug", "mask": mask},
    }
    draw, statuses = random.Random(7), set()
    for number in range(120):
        what = draw.choice(list(bodies))
        content = bytearray(json.dumps(bodies[what]).encode())
        for _ in range(draw.randrange(1, 6) if number else 0):
            content[draw.randrange(len(content))] = draw.randrange(256)
        answer = client.post(f"/v1/{what}", content=bytes(content), headers={"content-type": "application/json"})
        statuses.add(answer.status_code)
    assert statuses <= {200, 400, 404, 415, 422}
    assert {200, 422} <= statuses
