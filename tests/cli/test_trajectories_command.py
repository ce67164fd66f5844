import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.cli.main import main
from segagent.learning.trajectories import read_trajectories

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 255
    PillowImage.fromarray(mask).save(folder / "m.png")
    for name in ("a.png", "b.png"):
        PillowImage.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(folder / name)
    samples = [{"image": name, "mask": "m.png", "text": "the bar"} for name in ("a.png", "b.png")]
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return folder


def run(data: Path, out: Path, *options: str) -> int:
    return main(["trajectories", str(data), "-o", str(out), "--tool", "disc", "--workers", "1", *options])


def test_writes_trajectories(data: Path, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "t.jsonl"
    assert run(data, out) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("6 trajectories of 2 samples on 2 images (2 samples in ")
    assert captured.err == ""
    assert len(list(read_trajectories(out))) == 6
    content = out.read_bytes()
    assert run(data, out, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert isinstance(result.pop("seconds"), float)
    assert result == {
        "trajectories": str(out),
        "num_images": 2,
        "num_samples": 2,
        "num_trajectories": 6,
        "num_failed": 0,
        "failures": [],
        "num_kept_images": 2,
        "stopped": "",
    }
    assert out.read_bytes() == content


def test_failed_samples_are_listed(data: Path, tmp_path: Path, capsys: Captured) -> None:
    (data / "a.png").unlink()
    for _ in range(2):
        assert run(data, tmp_path / "t.jsonl") == 1
        captured = capsys.readouterr()
        assert captured.out.startswith("3 trajectories of 1 samples on 2 images")
        assert f"sample 000000 failed: image {data / 'a.png'}: no such file" in captured.err
        assert captured.err.count("\n") == 1
    assert run(data, tmp_path / "t.jsonl", "--json") == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["num_failed"], result["failures"][0]["image"]) == (1, "a.png")


@pytest.mark.parametrize(
    "options",
    [
        ["--starts", "middle"],
        ["--tau-stop", "2"],
        ["--tau-stop", "nan"],
        ["--tau-diff", "x"],
        ["--max-steps", "0"],
        ["--seed", "-1"],
        ["--workers", "0"],
        ["--tool", "hammer"],
    ],
)
def test_bad_options(data: Path, tmp_path: Path, options: list[str], capsys: Captured) -> None:
    out = tmp_path / "t.jsonl"
    assert run(data, out, *options) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    assert not out.exists()


def test_bad_data_sets_and_files(data: Path, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for dataset, out in [
        ("scenes:x", tmp_path / "t"),
        (str(tmp_path / "absent"), tmp_path / "t"),
        (str(data), tmp_path / "mine.txt"),
        (str(data), tmp_path / "no" / "t"),
        (str(data), tmp_path),
    ]:
        assert run(Path(dataset), out) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "mine.txt").read_text() == "precious"
    assert run(data, tmp_path / "t") == 0
    assert run(data, tmp_path / "t", "--tau-stop", "0.5") == 2
    assert "tau_stop 0.95, now 0.5 (--tau-stop)" in capsys.readouterr().err
