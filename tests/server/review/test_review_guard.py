"""Who is let in, what is taken from them, and what every answer says to the browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from served_runs import FINE, Served

from segagent.server.guard import Access
from segagent.server.review.app import DOOR
from segagent.server.review.wire import MAX_NOTE, MAX_POINTS

TOKEN = "a-secret-of-thirty-letters-or-so"
OPEN = Access(TOKEN, ("workstation", "review.example.org"))


@pytest.fixture
def others(run: Path):
    one = Served(run, access=OPEN)
    yield one.client
    one.close()


def test_every_answer_forbids_what_a_page_of_ours_does_not_do(served: Served) -> None:
    image = served.get(f"objects/{FINE}").json()["image"]
    for path in ("/api/v1/session", "/api/v1/nothing", f"/api/v1/images/{image}/picture", "/static/nothing", "/"):
        headers = served.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8322"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.1.7:8322"},
        {"host": ""},
        {"host": "[::1"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"origin": "http://[::1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_get_nothing(served: Served, headers: dict[str, str]) -> None:
    assert served.get("session", headers=headers).status_code == 403
    body = {"request": "x", "kind": "removed"}
    refused = served.client.post(f"/api/v1/objects/{FINE}/events", json=body, headers=headers)
    assert refused.status_code == 403
    assert refused.json()["error"]
    assert served.get("session").json()["number"] == 0


@pytest.mark.parametrize("host", ["127.0.0.1:8322", "localhost:8322", "LOCALHOST", "[::1]:8322"])
def test_this_machines_own_names(served: Served, host: str) -> None:
    origin = {"host": host, "origin": f"http://{host}"}
    assert served.get("session", headers=origin).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_foreign_form_can_send_is_no_request(served: Served, kind: str) -> None:
    body = json.dumps({"request": "x", "kind": "removed"})
    refused = served.client.post(f"/api/v1/objects/{FINE}/events", content=body, headers={"content-type": kind})
    assert refused.status_code == 415


def test_a_token_is_needed_from_others(others: TestClient) -> None:
    for path in ("/", "/api/v1/session", "/api/v1/openapi.json", "/static/main.js"):
        assert others.get(path).status_code == 401
    for wrong in ("Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe9"):
        assert others.get("/api/v1/session", headers={"authorization": wrong.encode("latin-1")}).status_code == 401
    assert others.get("/api/v1/session", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert others.get("/api/v1/session", headers={"cookie": "segagent-review=x"}).status_code == 401


def test_the_token_in_the_address_becomes_a_cookie(others: TestClient) -> None:
    come = others.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (come.status_code, come.headers["location"]) == (303, "/")
    cookie = come.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    assert others.get("/api/v1/session").status_code == 200, "the client keeps cookies"
    assert others.get("/?token=wrong", headers={"cookie": ""}).status_code == 401
    secure = others.get(f"/?token={TOKEN}", headers={"x-forwarded-proto": "https"}, follow_redirects=False)
    assert "Secure" in secure.headers["set-cookie"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("workstation:8322", 200), ("review.example.org", 200), ("192.168.1.7:8322", 200), ("evil.example", 403)],
)
def test_others_come_by_known_names_or_by_number(others: TestClient, host: str, status: int) -> None:
    headers = {"host": host, "authorization": f"Bearer {TOKEN}"}
    assert others.get("/api/v1/session", headers=headers).status_code == status


def test_sizes_are_bounded(served: Served) -> None:
    events = f"/api/v1/objects/{FINE}/events"
    large = b'{"request": "' + b"x" * DOOR.max_body + b'"}'
    headers = {"content-type": "application/json"}
    assert served.client.post(events, content=large, headers=headers).status_code == 413
    pieces = (b" " * 100_000 for _ in range(12))
    assert served.client.post(events, content=pieces, headers=headers).status_code == 413
    too_many = [[1, 1]] * (MAX_POINTS + 1)
    for told in (
        {"kind": "stroke", "points": too_many, "radius": 1, "positive": True},
        {"kind": "stroke", "points": [[1, 1]], "radius": 1001, "positive": True},
        {"kind": "stroke", "points": [[1, 10**9]], "radius": 1, "positive": True},
        {"kind": "stroke", "points": [], "radius": 1, "positive": True},
        {"kind": "stroke", "points": [[1.5, 1]], "radius": 1, "positive": True},
        {"kind": "polygon", "points": [[1, 1], [2, 2]]},
        {"kind": "note", "text": "x" * (MAX_NOTE + 1)},
        {"kind": "note", "text": ""},
        {"kind": "note", "text": "\ud800"},
        {"kind": "click", "x": True, "y": 1, "positive": True},
        {"kind": "click", "x": 1, "y": 1},
        {"kind": "agent", "steps": 1000},
        {"kind": "imported"},
        {"kind": "verdict", "verdict": "fine"},
        {"kind": "removed", "mask": "x"},
        {"kind": "removed", "by": "x" * 81},
        {"kind": "removed", "request": ""},
        {"kind": "removed", "seen": -1},
        {"kind": "removed", "seen": 2**60},
    ):
        content = json.dumps({"request": "x", **told})
        refused = served.client.post(events, content=content, headers=headers)
        assert refused.status_code == 422, told
        assert refused.json()["error"]
    assert served.get("session").json()["number"] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b"\xff", b"null", b'{"a": 1e999}', b"NaN"])
def test_bodies_that_are_no_request(served: Served, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    refused = served.client.post(f"/api/v1/objects/{FINE}/events", content=body, headers=headers)
    assert refused.status_code in (400, 422)
    assert refused.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/..\\app.py",
        "/api/v1/images/..%2f..%2fjournal.jsonl/picture",
        "/api/v1/images/a.png/picture",
        "/api/v1/objects/-1",
        "/api/v1/objects/99",
        "/api/v1/objects/99999999999999999999999",
        "/api/v1/objects/fine",
    ],
)
def test_nothing_is_reached_by_a_path(served: Served, path: str) -> None:
    answer = served.client.get(path)
    assert answer.status_code in (404, 422)
    assert b"import" not in answer.content


@given(st.text(max_size=40))
def test_whatever_host_is_sent_is_read_or_refused(host: str) -> None:
    fits = Access().host_fits(host)
    assert not fits or host.lower().strip("[]").startswith(("127.0.0.1", "localhost", "::1")) or "@" in host
