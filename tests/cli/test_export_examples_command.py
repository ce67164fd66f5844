import json
from pathlib import Path

import pytest

from segagent.cli.main import main
from segagent.core import decode_rle, iou
from segagent.datasets import open_dataset
from segagent.datasets.published import read_published_trajectories
from segagent.learning.exports import read_llama_factory
from segagent.learning.trajectories import read_trajectories

Captured = pytest.CaptureFixture[str]
SCENES = "scenes:3:size=64,sentences=2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "t.jsonl"
    assert main(["trajectories", SCENES, "-o", str(out), "--tool", "disc", "--workers", "1", "--json"]) == 0
    return out


def test_llama_factory(made: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    assert main(["export-examples", str(made), "--to", "llama-factory", "--chat-format", "paper", "-o", str(out)]) == 0
    num = len(list(read_llama_factory(out)))
    assert capsys.readouterr().out.startswith(f"{num} examples of {len(list(read_trajectories(made)))} trajectories")
    assert main(["export-examples", str(made), "--to", "llama-factory", "--chat-format", "paper", "-o", str(out)]) == 2
    assert "holds something already" in capsys.readouterr().err


def test_trl(made: Path, tmp_path: Path, capsys: Captured) -> None:
    pytest.importorskip("pyarrow")
    options = ["--to", "trl", "--chat-format", "qwen3", "--columns", "prompt-completion", "--json"]
    assert main(["export-examples", str(made), str(made), *options, "-o", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["num_trajectories"] == 2 * len(list(read_trajectories(made)))
    assert told["num_written"] > 0


def test_published(made: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "p.json"
    assert main(["export-examples", str(made), "--to", "published", "-o", str(out)]) == 0
    ours = [one for one in read_trajectories(made) if one.start.kind == "empty"]
    read = list(read_published_trajectories(out))
    assert [one.trajectory.text for one in read] == [one.text for one in ours]
    targets = {sample.sample_id: sample.load_target()[0] for sample in open_dataset(SCENES)}
    for one, our in zip(read, ours, strict=True):
        assert (decode_rle(one.target) == targets[our.sample_id]).all()
        assert [step.action for step in one.trajectory.steps] == [step.action for step in our.steps][: our.returned]
        last = one.trajectory.mask_at(one.trajectory.returned)
        assert iou(last, targets[our.sample_id]) == pytest.approx(our.reward_at(our.returned))
    assert "start from something left out" in capsys.readouterr().out


def test_wrong_use(made: Path, tmp_path: Path, capsys: Captured) -> None:
    out = ["-o", str(tmp_path / "out")]
    for options, message in (
        (["--to", "trl"], "needs --chat-format"),
        (["--to", "published", "--chat-format", "paper"], "does not go with"),
        (["--to", "llama-factory", "--chat-format", "nope"], "unknown chat format"),
        (["--to", "llama-factory", "--chat-format", "paper", "--columns", "prompt-completion"], "--to trl only"),
    ):
        assert main(["export-examples", str(made), *options, *out]) == 2
        assert message in capsys.readouterr().err
    box = tmp_path / "box.jsonl"
    starts = ["--tool", "disc", "--workers", "1", "--starts", "box", "--json"]
    assert main(["trajectories", SCENES, "-o", str(box), *starts]) == 0
    assert main(["export-examples", str(box), "--to", "published", *out]) == 2
    assert "--starts empty" in capsys.readouterr().err
    assert main(["export-examples", str(tmp_path / "none"), "--to", "published", *out]) == 2
    assert not (tmp_path / "out").exists()
