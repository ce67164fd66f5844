"""A run served in this process: models that cost nothing, five objects on two pictures."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

sys.path.insert(0, str(Path(__file__).parents[2] / "annotation"))
from made_runs import usual_run

from segagent.annotation.batch import open_run
from segagent.server.guard import Access
from segagent.server.review.app import create_review_app
from segagent.server.review.session import Plan, ReviewSession

_NUMBERS = itertools.count(1)
BASE = "http://127.0.0.1:8322"
EVERYBODY = Access()
PLAN = Plan(tool="disc", policy="centre")
FINE, BAD, GONE, BROKEN, MIDDLING = range(5)
"""The objects by index; see ``made_runs.usual_run``."""


class Served:
    """A session with a client. Requests are numbered."""

    def __init__(self, folder: Path, plan: Plan = PLAN, access: Access = EVERYBODY, **headers: str) -> None:
        self.session = ReviewSession(open_run(folder), replace(plan, tool=plan.tool or "disc"))
        self.app = create_review_app(self.session, access)
        self.client = TestClient(self.app, base_url=BASE, headers=headers)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(f"/api/v1/{path}", **more)

    def event(self, index: int, kind: str, **told: Any) -> Any:
        """The answer to an event, which must be done."""
        response = self.post(index, kind=kind, **told)
        assert response.status_code == 200, response.text
        return response.json()

    def post(self, index: int, **told: Any) -> httpx.Response:
        body = {"request": f"r{next(_NUMBERS)}", "seen": 0, "by": "Ann", **told}
        return self.client.post(f"/api/v1/objects/{index}/events", json=body)

    def rows(self) -> dict[int, dict[str, Any]]:
        table = self.get("objects").json()
        return {row[0]: dict(zip(table["columns"], row, strict=True)) for row in table["rows"]}

    def close(self) -> None:
        self.session.close()


def made_run(tmp_path: Path) -> Path:
    return usual_run(tmp_path)
