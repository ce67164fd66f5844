"""``--serve`` of review and check: what the commands refuse, what they say, and what they hand to the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from segagent.annotation.batch import open_run
from segagent.annotation.people import Event, PeopleLog
from segagent.cli.main import app
from segagent.server.review import serving
from segagent.server.review.session import Plan, ReviewSession


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been served; the command goes on as after Ctrl-C."""
    found: list[dict[str, Any]] = []

    def serve(app: Any, host: str, port: int, ready: Any) -> None:
        ready(f"http://{host}:{port or 5}")
        raise KeyboardInterrupt

    create = ReviewSession.__init__

    def opened(self: ReviewSession, run: Any, plan: Plan) -> None:
        found.append({"run": run, "plan": plan})
        create(self, run, plan)

    monkeypatch.setattr(serving, "listen", serve)
    monkeypatch.setattr(ReviewSession, "__init__", opened)
    return found


def said(*arguments: str | Path, status: int = 0) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == status, result.output
    return result.output


def test_review(run: Path, asked: list[dict[str, Any]], tmp_path: Path) -> None:
    rules = tmp_path / "rules.txt"
    rules.write_text("Ears belong to the cat.\n")
    words = said(
        "review", run, "--serve", "--by", "Ann", "--guidelines", rules, "--assign", "Ann,Ben", "--tool", "disc"
    )
    assert "review: open http://127.0.0.1:8322/\n" in words
    assert "token" not in words
    assert "stopped; next: segagent export" in words
    (one,) = asked
    plan = one["plan"]
    assert (plan.by, plan.guidelines, plan.tool) == ("Ann", "Ears belong to the cat.", "disc")
    assert plan.people == ("Ann", "Ben")
    assert set(plan.shares) == {"fine", "bad", "gone", "broken", "middling"}
    said("review", run, "--serve")  # The record was closed, so that it can be opened again.


def test_check(run: Path, asked: list[dict[str, Any]]) -> None:
    words = said("check", run, "--serve", "--num", "2", "--seed", "3")
    assert "check: open http://127.0.0.1:8322/" in words
    assert "segagent summary" in words
    plan = asked[0]["plan"]
    assert len(plan.sample) == 2
    assert plan.drawn == {"num": 2, "seed": 3}


def test_others_need_a_token(run: Path, asked: list[dict[str, Any]]) -> None:
    words = said("review", run, "--serve", "--host", "0.0.0.0")
    assert "?token=" in words
    assert "TLS" in words
    public = said("review", run, "--serve", "--public", "review.example.org", "--token", "0123456789abcdef")
    assert "?token=0123456789abcdef" in public
    for short in ("short", "with spaces in it here", "semi;colon;semi;colon"):
        assert "16" in said("review", run, "--serve", "--token", short, status=2)


@pytest.mark.parametrize("option", [["--port", "1"], ["--by", "Ann"], ["--host", "::1"], ["--assign", "Ann,Ben"]])
def test_options_of_the_server_go_with_it(run: Path, option: list[str]) -> None:
    assert "goes with --serve" in said("review", run, *option, status=2)
    assert "goes with --serve" in said("check", run, "-o", run / "check", *option, status=2)


def test_check_needs_a_folder_or_the_page(run: Path) -> None:
    assert "--serve" in said("check", run, status=2)


def test_a_choice_of_objects_is_served_with_what_was_added_to_it(run: Path, asked: list[dict[str, Any]]) -> None:
    with PeopleLog(open_run(run)) as log:
        log.append([Event("added", "new-cat", "a.png", "Ann", None, "review", label="cat")])
        log.append([Event("added", "new-dog", "a.png", "Ann", None, "review", label="dog")])
        log.append([Event("verdict", "fine", "a.png", "Ann", None, "review", verdict="ok")])
    said("review", run, "--serve", "--only", "category=dog")
    session = ReviewSession(asked[0]["run"], Plan())
    assert [one.object_id for one in session.shown()] == ["broken", "middling", "new-dog"]
    assert session.number == 3
    assert session.since(0) == (3, [(2, 2, "added", "Ann")])
    session.append([Event("added", "newer", "a.png", "Ann", None, "review", label="cat")])
    assert [one.object_id for one in session.shown()] == ["broken", "middling", "new-dog", "newer"]
    session.close()


def test_without_the_extra_it_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "segagent.server.review.app", None)
    assert "pip install 'segagent[serve]'" in said("review", run, "--serve", status=2)


def test_a_port_that_is_taken(run: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in said("review", run, "--serve", "--port", str(port), status=2)
    assert "no address of this machine" in said("review", run, "--serve", "--host", "no such host", status=2)
