"""Requests that the interface's own document suggests, fitting and not fitting it: no answer is a server's error."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis")

from cheap_models import CheapPolicy
from fuzz_review import Tally, fuzz_by_schema
from segagent.annotation.batch import Models
from segagent.server.api.app import create_api
from segagent.tools.fake import DiscTool


@pytest.mark.slow
def test_no_request_breaks_the_server() -> None:
    tally = Tally()
    fuzz_by_schema(create_api(Models(CheapPolicy(), DiscTool())), "/v1/openapi.json", 400, 0, tally, nullcontext())
    assert tally.sound, tally.errors[:5]
    assert tally.requests >= 300
    assert {404, 422} <= set(tally.statuses)
