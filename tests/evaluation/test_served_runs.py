"""Data sets worked on by a policy behind a server: side by side by default, the same bytes as one after another."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quiet_server import QuietHandler, QuietServer
from segagent.annotation.batch import Models, RunConfig, run_job
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.cli.main import main
from segagent.imaging import encode_png
from segagent.policies import make_policy
from segagent.tools.fake import DiscTool

NUM = 10
Answer = Callable[[str, dict[str, Any]], tuple[int, Any]]


def click(text: str, body: dict[str, Any]) -> tuple[int, Any]:
    """A reply that depends on the sentence alone; the IoU rises, so that all steps are made."""
    number = int(text)
    said = {"iou": (number * 7 % 60) / 100, "action": "positive", "point": [100 + 70 * number, 900 - 70 * number]}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "cost": 0.01}
    return 200, {"choices": [{"message": {"content": json.dumps(said)}, "finish_reason": "stop"}], "usage": usage}


class Server:
    """Answers by the number in the sentence; counts requests in flight."""

    def __init__(self) -> None:
        self.answer: Answer = click
        self.pause = 0.0
        self.now = self.most = self.asked = 0
        lock = threading.Lock()
        outer = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = json.loads(self.body())
                with lock:
                    outer.asked += 1
                    outer.now += 1
                    outer.most = max(outer.most, outer.now)
                time.sleep(outer.pause)
                words = body["messages"][0]["content"][-1]["text"].rpartition("object ")[2]
                status, data = outer.answer(words.rstrip('"'), body)
                content = json.dumps(data).encode()
                with lock:
                    outer.now -= 1
                self.answer(status, content)

        self.http = QuietServer(Handler)
        self.url = f"{self.http.url}/v1"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with made.http:
        yield made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    samples = []
    for number in range(NUM):
        mask = np.zeros((40, 60), np.uint8)
        mask[5 + number : 25 + number, 10:40] = 255
        (folder / f"images/{number}.png").write_bytes(encode_png(rng.integers(0, 255, (40, 60, 3), np.uint8)))
        (folder / f"masks/{number}.png").write_bytes(encode_png(mask))
        names = {"image": f"images/{number}.png", "mask": f"masks/{number}.png"}
        samples.append({"id": f"s{number}", "text": f"object {number}", **names})
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}), encoding="utf-8")
    return folder


def spec(server: Server, more: str = "") -> str:
    return f"openai:qwen3-vl@{server.url}?cache=off&retries=1{more}"


def evaluate(data: Path, out: Path, policy: str, *more: str) -> int:
    return main(["evaluate", str(data), "-o", str(out), "--policy", policy, "--tool", "disc", *more])


def told(out: Path) -> list[dict[str, Any]]:
    """The records of an evaluation without what differs from run to run."""
    records = [json.loads(line) for line in (out / "trajectories.jsonl").read_text().splitlines()[1:]]
    names = ("sample_id", "start", "steps", "returned", "stopped", "target", "unit")
    return [{name: record[name] for name in names} for record in records]


def test_an_evaluation_side_by_side_is_the_one_after_another(data: Path, tmp_path: Path, server: Server) -> None:
    server.pause = 0.1
    assert evaluate(data, tmp_path / "many", spec(server)) == 0
    assert server.most > NUM // 2
    server.most, server.pause = 0, 0.0
    assert evaluate(data, tmp_path / "one", spec(server, "&concurrency=1")) == 0
    assert server.most == 1
    many, one = told(tmp_path / "many"), told(tmp_path / "one")
    assert many == one
    assert [record["sample_id"] for record in many] == [f"s{number}" for number in range(NUM)]


@pytest.mark.parametrize("job", ["audit", "annotate"])
def test_a_run_side_by_side_has_the_same_journal(job: Any, data: Path, tmp_path: Path, server: Server) -> None:
    from segagent.datasets import open_dataset

    def run(out: str, workers: int | None) -> bytes:
        models = Models(make_policy(spec(server)), DiscTool())
        run_job(open_dataset(str(data)), lambda: models, tmp_path / out, RunConfig(job), workers=workers)
        return (tmp_path / out / JOURNAL_FILE).read_bytes()

    server.pause = 0.1
    many = run("many", None)
    assert server.most > NUM // 2
    server.most, server.pause = 0, 0.0
    assert run("one", 1) == many
    assert server.most <= 2, "a state that is stuck is asked about twice at once"


def filtered(text: str, body: dict[str, Any]) -> tuple[int, Any]:
    if text == "4":
        return 400, {"error": {"message": "The prompt was filtered", "code": "content_filter"}}
    if text == "7":
        return 200, {"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]}
    return click(text, body)


@pytest.mark.parametrize("command", ["evaluate", "audit", "annotate"])
def test_what_a_server_refuses_for_good_fails_alone(
    command: str, data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answer = filtered
    out = tmp_path / "out"
    arguments = [command, str(data), "-o", str(out), "--policy", spec(server), "--tool", "disc", "--json"]
    assert main(arguments) == 1
    told = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    failed = told["failures"] if command == "evaluate" else told["failed"]
    assert [one.get("sample_id", one.get("object_id")) for one in failed] == ["s4", "s7"]
    assert "The prompt was filtered" in failed[0]["reason"]
    assert "content_filter" in failed[1]["reason"]
    if command == "evaluate":
        assert (told["counts"]["samples"], told["counts"]["failed"], told["complete"]) == (NUM - 2, 2, True)


@pytest.mark.parametrize("protocol", ["res", "filter"])
def test_a_reply_without_an_iou_ends_no_evaluation(
    protocol: str, data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(text: str, body: dict[str, Any]) -> tuple[int, Any]:
        status, reply = click(text, body)
        if text == "3":
            reply["choices"] = [
                {"message": {"content": "I see it."}, "finish_reason": "stop"} for _ in range(body.get("n", 1))
            ]
        return status, reply

    server.answer = answer
    candidates = ["--candidates", "3"] if protocol == "res" else []
    code = evaluate(data, tmp_path / "out", spec(server), "--protocol", protocol, "--json", *candidates)
    counts = json.loads(capsys.readouterr().out.strip().splitlines()[-1])["counts"]
    assert (code, counts["failed"]) == ((0, 0) if protocol == "res" else (1, 1))
    assert counts["samples"] == NUM - (protocol == "filter")


def test_a_budget_of_money_as_the_server_tells_it(
    data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert evaluate(data, out, spec(server), "--budget-money", "0.1") == 1
    assert "budget of 0.1 money is used up" in capsys.readouterr().err
    spent = 0.01 * server.asked
    assert 0.1 <= spent < 0.2
    done = told(out)
    assert 0 < len(done) < NUM
    assert evaluate(data, out, spec(server), "--budget-money", "0.1") == 1
    assert server.asked == pytest.approx(spent / 0.01)
    assert evaluate(data, out, spec(server), "--budget-money", "100") == 0
    assert told(out)[: len(done)] == done


def test_a_budget_of_money_that_nobody_can_reckon_is_refused(
    data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(text: str, body: dict[str, Any]) -> tuple[int, Any]:
        status, reply = click(text, body)
        del reply["usage"]["cost"]
        return status, reply

    server.answer = answer
    assert evaluate(data, tmp_path / "out", spec(server), "--budget-money", "0.1") == 2
    assert "--price" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["evaluate", "audit", "annotate"])
def test_a_model_of_unknown_format_is_refused(
    command: str, data: Path, tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    unknown = f"openai:acme-vl-1@{server.url}?cache=off"
    arguments = [command, str(data), "-o", str(tmp_path / "out"), "--tool", "disc", "--policy"]
    assert main([*arguments, unknown]) == 2
    said = capsys.readouterr().err
    assert "segagent doctor" in said
    assert "qwen2.5" in said
    assert server.asked == 0
    assert main([*arguments, f"{unknown}&format=qwen3"]) == 0
