"""The options of runs are the same in every command that works through a data set."""

from pathlib import Path

import pytest

from segagent.cli.main import main
from segagent.cli.running import RunOptions
from segagent.core import InputError

ALL = {
    "--workers", "--ray", "--shard", "--limit", "--batch-images", "--batch-episodes", "--retry-failed",
    "--budget-seconds", "--budget-calls", "--budget-money", "--price",
}  # fmt: skip
MONEY = {"--budget-money", "--price"}


@pytest.mark.parametrize(
    ("command", "without"),
    [
        (["annotate"], {"--shard"}),
        (["refine"], {"--shard"}),
        (["audit"], {"--shard"}),
        (["evaluate"], set()),
        (["benchmark"], {"--shard"}),
        (["trajectories"], {"--budget-calls", "--batch-episodes", *MONEY}),
        (["train", "star"], {"--shard", "--retry-failed", "--batch-images", "--batch-episodes"}),
    ],
)
def test_who_has_which(command: list[str], without: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    told = set(capsys.readouterr().out.split())
    assert ALL & told == ALL - without


def test_a_single_picture_has_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for option in (["--limit", "3"], ["--batch-images", "2"], ["--retry-failed"], ["--ray", "local"]):
        assert main(["annotate", str(tmp_path / "a.png"), "the dog", "-o", str(tmp_path / "out"), *option]) == 2
        assert f"{option[0]}: one picture is given with TEXT" in capsys.readouterr().err


def test_where_the_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segagent.distributed.available_cores", lambda: 6)
    monkeypatch.setattr("segagent.distributed.gpus", lambda: ["0", "1"])
    assert RunOptions().processes(("embedded", "embedded"), 100) == 6
    assert RunOptions().processes(("embedded", "embedded"), 4) == 4
    assert RunOptions().processes(("embedded", "sam2:DIR"), 100) == 2
    assert RunOptions(workers=3).processes(("hf:DIR", "embedded"), 100) == 3
    assert RunOptions().processes(("openai:M@http://x", "embedded"), 100) is None
    assert RunOptions().processes(("openai:M@http://x", "hf:DIR", "embedded"), 100) == 2
    assert RunOptions(workers=2).processes(("openai:M@http://x", "embedded"), 100) == 2
    assert RunOptions().processes(("disc",), 0) == 1
    how = RunOptions(ray="local", limit=3, budget_calls=7, price="1,2").how(("embedded", "embedded"), 9)
    assert how["open_workers"] is not None
    assert (how["limit"], how["budget"].policy_calls, how["budget"].prices.completion) == (3, 7, 2)
    with pytest.raises(InputError, match="i/n"):
        RunOptions(shard="3").part()
