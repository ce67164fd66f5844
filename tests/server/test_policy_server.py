"""The server refuses what it cannot answer exactly, in the protocol's words, and never fails on what it is sent."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image as PillowImage

from segagent.core import Finish, Image, Observation, Proposal, ReplyTokens, frozen_mask
from segagent.imaging import draw_overlay, encode_png
from segagent.policies import CentrePolicy
from segagent.policies.chat import FORMATS, Reply, format_from_dict
from segagent.policies.openai.answers import reply_of
from segagent.server.app import create_app
from segagent.server.requests import ServerLimits, mask_between

FMT = FORMATS["segagent"]


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(create_app(CentrePolicy(), ServerLimits(max_body=200_000, max_pixels=10_000, max_replies=4)))


def png(pixels: np.ndarray[Any, Any]) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


def body(height: int = 20, width: int = 30, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mask = np.zeros((height, width), np.bool_)
    look = Observation(Image.of(rng.integers(0, 255, (height, width, 3), np.uint8)), "the mug", frozen_mask(mask))
    pictures = [{"type": "image_url", "image_url": {"url": png(p.pixels)}} for p in FMT.pictures(look)]
    content = [*pictures, {"type": "text", "text": FMT.prompt(look)}]
    return {"model": "x", "messages": [{"role": "user", "content": content}], **changes}


def test_answers(client: TestClient) -> None:
    response = client.post("/v1/chat/completions", json=body(n=3))
    assert response.status_code == 200
    data = response.json()
    assert [choice["message"]["content"] for choice in data["choices"]] == ["Positive point: (15, 10)"] * 3
    (model,) = client.get("/v1/models").json()["data"]
    assert model["id"] == "centre"
    assert format_from_dict(model["segagent_format"], "models") == FMT
    assert client.get("/health").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        (None, [("", -0.75)]),
        (ReplyTokens((-0.5, -0.25), ids=(7, 9)), [("token_id:7", -0.5), ("token_id:9", -0.25)]),
        (ReplyTokens((-0.5, -0.25), texts=("Fin", "ish")), [("Fin", -0.5), ("ish", -0.25)]),
    ],
)
def test_tokens_are_handed_on_where_the_policy_keeps_them(
    tokens: ReplyTokens | None, told: list[tuple[str, float]]
) -> None:
    class Keeping(CentrePolicy):
        def propose(self, observations: Any, num_proposals: int = 1, **options: Any) -> list[list[Proposal]]:
            return [[Proposal(Finish(), None, -0.75, "Finish", tokens=tokens)] * num_proposals for _ in observations]

    client = TestClient(create_app(Keeping(), ServerLimits()))
    (choice,) = client.post("/v1/chat/completions", json=body(logprobs=True)).json()["choices"]
    assert [(one["token"], one["logprob"]) for one in choice["logprobs"]["content"]] == told
    reply = reply_of(choice)
    assert isinstance(reply, Reply)
    assert reply.log_prob == -0.75
    assert tokens is None or reply.tokens == tokens


def test_mask_is_read_exactly() -> None:
    rng = np.random.default_rng(3)
    clean = rng.integers(0, 256, (50, 60, 3), np.uint8)
    mask = frozen_mask(rng.random((50, 60)) < 0.5)
    np.testing.assert_array_equal(mask_between(clean, draw_overlay(clean, mask)), mask)


def with_content(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def noise(seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, 255, (20, 30, 3), np.uint8)


def jpeg() -> str:
    buffer = io.BytesIO()
    PillowImage.fromarray(noise(0)).save(buffer, "JPEG")
    return base64.b64encode(buffer.getvalue()).decode()


OBJECT = {"type": "text", "text": 'Object: "x"'}


@pytest.mark.parametrize(
    "request_body",
    [
        [],
        {},
        {"messages": []},
        {"messages": ["hello"]},
        {"messages": [{"role": "system", "content": []}]},
        {"messages": [{"role": "user", "content": "click"}]},
        with_content("text"),
        with_content({"type": "audio"}),
        with_content({"type": "text", "text": "no object"}),
        with_content(OBJECT),
        with_content(OBJECT, image(png(noise(0)))),
        with_content(OBJECT, image(png(noise(0))), image(png(noise(1)))),
        with_content(OBJECT, image(png(noise(0))), image(png(noise(0)[:10]))),
        with_content(OBJECT, image("http://example.org/a.png"), image("file:///etc/passwd")),
        with_content(OBJECT, image("data:image/png;base64,%%%"), image(png(noise(0)))),
        with_content(OBJECT, image("data:image/png;base64,AAAA"), image(png(noise(0)))),
        with_content(OBJECT, image(f"data:image/png;base64,{jpeg()}"), image(png(noise(0)))),
        with_content(OBJECT, image(png(noise(0))[:-400]), image(png(noise(0)))),
        with_content(OBJECT, image(png(noise(0)[..., 0])), image(png(noise(0)[..., 0]))),
        body(n=5),
        body(n=True),
        body(n="2"),
        body(seed=-1),
        body(seed=2**63),
        body(temperature=-1),
        body(temperature="hot"),
        body(stream=True),
    ],
)
def test_bad_requests(client: TestClient, request_body: Any) -> None:
    response = client.post("/v1/chat/completions", json=request_body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("content", [b"", b"\xff", b"{" * 5000, b'{"a": 1e999}', b"null"])
def test_bodies_that_are_no_request(client: TestClient, content: bytes) -> None:
    assert client.post("/v1/chat/completions", content=content).status_code == 400


def test_sizes_are_limited(client: TestClient) -> None:
    assert client.post("/v1/chat/completions", json=body(101, 100)).status_code == 413
    assert client.post("/v1/chat/completions", content=b" " * 200_001).status_code == 413
    chunks = (b" " * 50_000 for _ in range(10))
    assert client.post("/v1/chat/completions", content=chunks).status_code == 413


def test_other_hosts_are_refused(client: TestClient) -> None:
    assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 400


def test_fuzzed_bodies_never_break_the_server(client: TestClient) -> None:
    rng = np.random.default_rng(5)
    good = json.dumps(body()).encode()
    for _ in range(100):
        damaged = bytearray(good)
        for position in rng.integers(len(damaged), size=int(rng.integers(1, 8))):
            damaged[position] = int(rng.integers(256))
        assert client.post("/v1/chat/completions", content=bytes(damaged)).status_code in (200, 400, 413)
