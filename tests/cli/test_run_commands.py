"""The run commands against a policy server: interrupted, left alone by the server, out of budget, and gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cheap_models import write_tiny_folder
from quiet_server import QuietHandler, QuietServer
from segagent.annotation.batch import open_run
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.cli.main import main

httpx = pytest.importorskip("httpx", reason="needs the extra 'openai'")

CLICK = "Current IoU: 50. Positive point: (5, 5)"


class Server:
    """Answers every question with the same click: 100 tokens read, 20 written. ``left``: so many answers, then 500."""

    def __init__(self) -> None:
        self.left = 10**9
        self.pause = 0.0
        self.answers = 0
        lock = threading.Lock()
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                self.body()
                time.sleep(outer.pause)
                with lock:
                    outer.left -= 1
                    alive = outer.left >= 0
                    outer.answers += alive
                choice = {"index": 0, "message": {"role": "assistant", "content": CLICK}, "finish_reason": "stop"}
                body: dict[str, Any] = {
                    "choices": [choice],
                    "usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120},
                }
                content = json.dumps(body if alive else {"error": {"message": "gone"}}).encode()
                self.answer(200 if alive else 500, content)

        self.http = QuietServer(Handler)
        options = "format=segagent&cache=off&retries=1"
        self.policy = f"openai:m@{self.http.url}/v1?{options}"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with made.http:
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_folder(tmp_path_factory.mktemp("data"), 6, 2)


def arguments(job: str, data: Path, out: Path, server: Server, *more: str) -> list[str]:
    return [job, str(data), "-o", str(out), "--policy", server.policy, "--tool", "disc", "--workers", "1", *more]


def journal(out: Path) -> bytes:
    return (out / JOURNAL_FILE).read_bytes()


@pytest.mark.parametrize(
    "job", ["audit", *(pytest.param(job, marks=pytest.mark.slow) for job in ("refine", "annotate"))]
)
def test_a_server_that_dies_for_good(
    job: str, data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(job, data, tmp_path / "whole", server)) == 0
    whole, calls = journal(tmp_path / "whole"), server.answers
    out = tmp_path / "run"
    server.left = calls // 2
    capsys.readouterr()
    assert main(arguments(job, data, out, server)) == 2
    said = capsys.readouterr().err
    assert "gone" in said
    assert "give the same command again to go on" in said
    assert whole.startswith(journal(out))
    assert 0 < len(list(open_run(out).objects())) < 12
    server.left = 10**9
    assert main(arguments(job, data, out, server)) == 0
    assert journal(out) == whole


@pytest.mark.slow
def test_a_server_that_dies_with_several_workers(
    data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    server.left = 12
    command = [*arguments("audit", data, out, server), "--workers", "2"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "gone" in said
    assert "Traceback" not in said
    server.left = 10**9
    assert main(command) == 0
    assert len(list(open_run(out).objects())) == 12


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupt_ends_cleanly(data: Path, tmp_path: Path, server: Server, workers: int) -> None:
    out = tmp_path / "run"
    server.pause = 0.1
    # Where the tests run in the background, interrupts are ignored from the start.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "import sys; from segagent.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [*arguments("audit", data, out, server), "--workers", str(workers)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 120
    while not (out / JOURNAL_FILE).exists() or journal(out).count(b"\n") < 3:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    # As a terminal does it: all processes of the group are hit.
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "give the same command again to go on" in said
    assert "Traceback" not in said
    assert said.rstrip().endswith("error: interrupted")
    assert len(list(open_run(out).objects())) < 12
    server.pause = 0
    assert main(command) == 0
    assert len(list(open_run(out).objects())) == 12


def summary(text: str) -> dict[str, Any]:
    return json.loads(text.strip().splitlines()[-1])  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        (["--budget-calls", "9"], "budget of 9 policy calls"),
        (["--budget-money", "0.001", "--price", "1,2"], "budget of 0.001 money"),
        (["--budget-seconds", "0.0001"], "budget of 0.0001 seconds"),
    ],
)
def test_budgets_of_a_run(
    data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], budget: list[str], said: str
) -> None:
    out = tmp_path / "run"
    assert main(arguments("audit", data, out, server, "--json", *budget)) == 1
    told = summary(capsys.readouterr().out)
    assert said in told["stopped"]
    assert 0 < told["objects"] < 12
    cost = told["cost"]
    assert (cost["prompt_tokens"], cost["completion_tokens"]) == (100 * server.answers, 20 * server.answers)
    done = journal(out)
    # It counts for the run, not for the session.
    assert main(arguments("audit", data, out, server, "--json", *budget)) == 1
    assert journal(out) == done
    assert main(arguments("audit", data, out, server, "--json")) == 0
    assert journal(out).startswith(done)
    capsys.readouterr()


def test_budgets_of_an_object(data: Path, tmp_path: Path, server: Server) -> None:
    limits = {
        ("--steps", "2"): ("max_steps", 2),
        ("--max-calls", "2"): ("max_policy_calls", 2),
        ("--max-seconds", "0.000001"): ("max_seconds", 1),
    }
    for number, (option, (stopped, most)) in enumerate(limits.items()):
        out = tmp_path / str(number)
        assert main(arguments("annotate", data, out, server, *option)) == 0
        records = list(open_run(out).objects())
        assert {record.trajectory.stopped for record in records} == {stopped}
        assert all(len(record.trajectory.steps) <= most for record in records)


def test_bad_places_and_options_are_told(
    data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    assert main(arguments("audit", data, tmp_path / "file", server)) == 2
    assert "cannot be made a folder" in capsys.readouterr().err
    assert main(arguments("audit", data, tmp_path / "run", server, "--budget-money", "1")) == 2
    assert "--price" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(arguments("audit", data, tmp_path / "run", server, "--ray", "local")) == 2
    assert "segagent[ray]" in capsys.readouterr().err
