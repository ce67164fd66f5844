"""What ``segagent serve`` refuses, in which words, and what it lets nobody do."""

from __future__ import annotations

import base64
import json
import logging
import struct
import zlib
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from segagent.annotation.batch import Models
from segagent.core import Segmentation, SegmentRequest, encode_rle
from segagent.imaging import encode_png
from segagent.policies import CentrePolicy
from segagent.server.api.app import create_api
from segagent.server.api.limits import Limits
from segagent.server.guard import Access
from segagent.tools.fake import DiscTool

BASE = "http://127.0.0.1:8321"
TOKEN = "a-secret-of-thirty-letters-or-so"
PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
PNG = encode_png(PIXELS)
INLINE = base64.b64encode(PNG).decode()
MASK = encode_rle(np.ones((24, 32), np.bool_))
FAR = "0" * 64


def served(tool: Any = None, access: Access = Access(), **limits: Any) -> TestClient:  # noqa: B008 - frozen
    models = Models(CentrePolicy(), tool or DiscTool())
    return TestClient(create_api(models, access, Limits(**limits)), base_url=BASE, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> TestClient:
    return served(max_body=100_000, max_pixels=10_000)


def png_of_size(width: int, height: int) -> bytes:
    """A small file that says it is as large as that."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 415, "wrong_type"),
        (b"GIF89a", 415, "wrong_type"),
        (b"http://example.org/cat.png", 415, "wrong_type"),
        (PNG[:60], 422, "bad_input"),
        (b"\xff\xd8\xff" + b"x" * 100, 422, "bad_input"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", 422, "bad_input"),
        (png_of_size(60_000, 60_000), 422, "bad_input"),
        (png_of_size(101, 100), 422, "bad_input"),
        (b"\x89PNG\r\n\x1a\n" + b"x" * 100_000, 413, "too_large"),
    ],
)
def test_files_that_are_no_picture(client: TestClient, content: bytes, status: int, code: str) -> None:
    answer = client.post("/v1/pictures", content=content, headers={"content-type": "image/png"})
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("what", "body", "says"),
    [
        ("segment", {}, "give 'picture'"),
        ("segment", {"picture": FAR, "image": INLINE}, "give 'picture'"),
        ("segment", {"picture": "x"}, "picture"),
        ("segment", {"picture": "../../etc/passwd"}, "picture"),
        ("segment", {"image": "%%%"}, "not base64"),
        ("segment", {"image": "http://127.0.0.1/a.png"}, "no URL"),
        ("segment", {"image": f"data:image/png;base64,{INLINE}"}, "not base64"),
        ("segment", {"image": INLINE, "clicks": [{"x": 32, "y": 0}]}, "outside the 32 x 24"),
        ("segment", {"image": INLINE, "clicks": [{"x": -1, "y": 0}]}, "clicks.0.x"),
        ("segment", {"image": INLINE, "clicks": [{"x": 1.5, "y": 0}]}, "clicks.0.x"),
        ("segment", {"image": INLINE, "clicks": [{"x": True, "y": 0}]}, "clicks.0.x"),
        ("segment", {"image": INLINE, "clicks": [{"x": 1, "y": 1}] * 101}, "clicks"),
        ("segment", {"image": INLINE, "box": [5, 5, 5, 9]}, "box 5,5,5,9"),
        ("segment", {"image": INLINE, "box": [0, 0, 33, 9]}, "box 0,0,33,9"),
        ("segment", {"image": INLINE, "box": [0, 0, 3]}, "box"),
        ("segment", {"image": INLINE, "mask": {"size": [24, 31], "counts": "a"}}, "its size is [24, 31]"),
        ("segment", {"image": INLINE, "mask": {"size": [24, 32], "counts": "0"}}, "do not describe 24 x 32"),
        ("segment", {"image": INLINE, "mask": {"size": [24, 32], "counts": "\u00e9"}}, "mask"),
        ("segment", {"image": INLINE, "mask": {"size": [24, 32], "counts": "PP"}}, "mask"),
        ("segment", {"image": INLINE, "mask": {"size": [999999, 999999], "counts": "oooooo1"}}, "its size is"),
        ("segment", {"image": INLINE, "mask": {"size": [24, 32], "counts": [1, 2]}}, "mask.counts"),
        ("segment", {"image": INLINE, "unknown": 1}, "unknown"),
        ("annotate", {"image": INLINE}, "text"),
        ("annotate", {"image": INLINE, "text": ""}, "text"),
        ("annotate", {"image": INLINE, "text": "   "}, "the text is empty"),
        ("annotate", {"image": INLINE, "text": "x" * 2001}, "text"),
        ("annotate", {"image": INLINE, "text": "mug", "steps": 21}, "steps"),
        ("annotate", {"image": INLINE, "text": "mug", "candidates": 2}, "predicts no IoU"),
        ("refine", {"image": INLINE, "text": "mug", "mask": MASK}, "predicts no IoU"),
        ("score", {"image": INLINE, "text": "mug", "mask": MASK}, "predicts no IoU"),
        ("score", {"image": INLINE, "text": "mug"}, "mask"),
    ],
)
def test_requests_that_mean_nothing(client: TestClient, what: str, body: dict[str, Any], says: str) -> None:
    answer = client.post(f"/v1/{what}", json=body)
    assert answer.status_code == 422, answer.text
    error = answer.json()["error"]
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"
    assert error["code"] in ("bad_request", "bad_input")


def test_half_a_surrogate_pair_is_no_text(client: TestClient) -> None:
    body = json.dumps({"image": INLINE, "text": "\ud800"})
    answer = client.post("/v1/annotate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 50_000, b"\xff", b"null", b'{"a": 1e999}', b"NaN"])
def test_bodies_that_are_no_request(client: TestClient, body: bytes) -> None:
    answer = client.post("/v1/segment", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert answer.json()["error"]["message"]


def test_bodies_are_bounded(client: TestClient) -> None:
    headers = {"content-type": "application/json"}
    assert client.post("/v1/segment", content=b" " * 100_001, headers=headers).status_code == 413
    pieces = (b" " * 30_000 for _ in range(5))
    assert client.post("/v1/segment", content=pieces, headers=headers).status_code == 413
    assert client.post("/v1/segment", content=b"{}", headers={"content-type": "text/plain"}).status_code == 415


def test_a_picture_that_is_gone_is_told_by_a_code() -> None:
    size = PIXELS.nbytes
    client = served(pictures=4 * size)
    names = []
    for shade in range(6):
        pixels = np.full_like(PIXELS, shade)
        answer = client.post("/v1/pictures", content=encode_png(pixels), headers={"content-type": "image/png"})
        names.append(answer.json()["picture"])
    statuses = [client.get(f"/v1/pictures/{name}").status_code for name in names]
    assert statuses == [404, 404, 200, 200, 200, 200]
    refused = client.post("/v1/segment", json={"picture": names[0], "clicks": [{"x": 1, "y": 1}]})
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "picture_gone"
    assert client.get("/v1/pictures/xyz").status_code == 422
    assert client.get("/v1/nothing").json()["error"]["code"] == "not_found"
    assert client.delete(f"/v1/pictures/{names[5]}", headers={"content-type": "application/json"}).status_code == 405


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_pages_of_other_sites_get_nothing(client: TestClient, headers: dict[str, str]) -> None:
    for answer in (
        client.get("/v1/openapi.json", headers=headers),
        client.post("/v1/segment", json={"image": INLINE}, headers=headers),
    ):
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "forbidden"


def test_others_need_the_token() -> None:
    client = served(access=Access(TOKEN, ("workstation",)))
    for path in ("/v1/openapi.json", "/metrics", "/health", "/v1/models", "/health?token=wrong"):
        refused = client.get(path)
        assert refused.status_code == 401
        assert "Bearer" in refused.json()["error"]["message"]
    body = {"image": INLINE, "clicks": [{"x": 1, "y": 1}]}
    assert client.post("/v1/segment", json=body).status_code == 401
    mine = {"authorization": f"Bearer {TOKEN}", "host": "workstation"}
    assert client.post("/v1/segment", json=body, headers=mine).status_code == 200


class FaultyTool(DiscTool):
    """Breaks where somebody clicks the first pixel."""

    def segment(self, requests: list[SegmentRequest]) -> list[Segmentation]:  # type: ignore[override]
        if any(request.prompts[-1].x == 0 for request in requests):  # type: ignore[union-attr]
            raise RuntimeError("no such kernel")
        return super().segment(requests)


def test_a_model_that_fails_is_no_end_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    client = served(FaultyTool())
    failed = client.post("/v1/segment", json={"image": INLINE, "clicks": [{"x": 0, "y": 0}]})
    assert failed.status_code == 424
    assert failed.json()["error"]["code"] == "model_failed"
    assert "RuntimeError" in failed.json()["error"]["message"]
    assert client.post("/v1/segment", json={"image": INLINE, "clicks": [{"x": 3, "y": 0}]}).status_code == 200
    assert 'segagent_errors_total{endpoint="/v1/segment"} 1' in client.get("/metrics").text
    assert "no such kernel" in caplog.text


def test_metrics_and_log_tell_no_pictures_and_no_keys(caplog: pytest.LogCaptureFixture) -> None:
    client = served(access=Access(TOKEN))
    client.headers["authorization"] = f"Bearer {TOKEN}"
    with caplog.at_level(logging.INFO, logger="segagent.server.requests"):
        assert client.get("/health").json() == {"status": "ok"}
        assert client.post("/v1/annotate", json={"image": INLINE, "text": "a secret mug"}).status_code == 200
        assert client.get(f"/v1/pictures/{FAR}").status_code == 404
        assert client.get("/v1/somewhere-else?key=mine").status_code == 404
    lines = [json.loads(record.getMessage()) for record in caplog.records if record.name == "segagent.server.requests"]
    assert [(line["endpoint"], line["status"]) for line in lines] == [
        ("/health", 200), ("/v1/annotate", 200), ("/v1/pictures/{picture}", 404), ("other", 404),
    ]  # fmt: skip
    assert lines[1]["bytes"] > len(INLINE)
    text = client.get("/metrics").text
    for secret in (TOKEN, INLINE[:40], "mug", FAR, "somewhere", "mine"):
        assert secret not in caplog.text
        assert secret not in text
    assert 'segagent_requests_total{endpoint="/v1/annotate",status="200"} 1' in text
    assert 'segagent_request_seconds_bucket{endpoint="/health",le="+Inf"} 1' in text
    assert 'segagent_queue{model="policy"} 0' in text
    assert "segagent_pictures 1" in text
    for line in text.splitlines():
        assert line.startswith("# ") or float(line.rpartition(" ")[2]) >= 0


def test_the_interface_describes_itself(client: TestClient) -> None:
    told = client.get("/v1/openapi.json").json()
    assert {"/v1/pictures", "/v1/segment", "/v1/annotate", "/v1/refine", "/v1/score"} <= set(told["paths"])
    assert set(told["paths"]["/v1/pictures"]["post"]["requestBody"]["content"]) == {
        "image/png", "image/jpeg", "image/webp", "application/octet-stream",
    }  # fmt: skip
