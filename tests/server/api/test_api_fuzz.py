"""Requests that the interface's own document suggests, fitting and not fitting it: no answer is a server's error."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

from cheap_models import CheapPolicy
from fuzz_review import Tally, fuzz_by_schema
from segagent.annotation.batch import Models
from segagent.server.api.app import create_api
from segagent.server.api.files import Files
from segagent.tools.fake import DiscTool


@pytest.mark.slow
def test_no_request_breaks_the_server(tmp_path: Path) -> None:
    tally = Tally()
    files = Files(root=tmp_path, corrections=tmp_path / "corrections", runs=tmp_path / "runs")
    app = create_api(Models(CheapPolicy(), DiscTool()), files=files)
    try:
        fuzz_by_schema(app, "/v1/openapi.json", 400, 0, tally, nullcontext())
    finally:
        for one in app.state.kept:
            one.close()
    assert tally.sound, tally.errors[:5]
    assert tally.requests >= 300
    assert {404, 422} <= set(tally.statuses)
