"""``segagent evaluate`` and ``segagent report`` end to end, on generated scenes and without a model."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.cli.main import main
from segagent.runs.journal import read_journal

SCENES = "scenes:5:seed=3,split=val,size=64,sentences=2"
_TIMES = ("seconds", "seconds per accepted mask")


def evaluate(out: Path, *options: str, data: str = SCENES) -> int:
    return main(["evaluate", data, "-o", str(out), "--tool", "disc", "--workers", "1", *options])


def untimed(results: dict) -> dict:
    """All that is the same each time."""
    metrics = {name: value for name, value in results["metrics"].items() if name not in _TIMES}
    return {**results, "metrics": metrics}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("played")
    assert evaluate(folder / "res", "--policy", "centre", "--json") == 0
    assert evaluate(folder / "noc", "--protocol", "noc", "--max-clicks", "4", "--json") == 0
    return {name: folder / name for name in ("res", "noc")}


def test_results_of_the_res_protocol(played: dict[str, Path]) -> None:
    results = json.loads((played["res"] / "results.json").read_text())
    assert results["counts"] == {
        "samples": 10,
        "trajectories": 10,
        "images": 5,
        "images_in_dataset": 5,
        "with_target": 10,
        "no_target": 0,
        "predicted_ious": 0,
        "skipped": 0,
        "failed": 0,
    }
    assert results["complete"]
    for name in ("cIoU", "gIoU", "bIoU", "Pr@0.5", "IoU@1", "IoU@7", "T-acc", "first-click hit rate"):
        one = results["metrics"][name]
        assert 0 <= one["low"] <= one["value"] <= one["high"] <= 1, name
    assert results["metrics"]["calls"]["value"] == 2
    _, records = read_journal(played["res"] / "trajectories.jsonl")
    for record in records:
        assert record["policy"] == "centre"
        assert record["steps"][-1]["reward"] is not None
        assert record["target"]["size"] == [64, 64]
        assert record["ignore"] is None


def test_results_of_the_noc_protocol(played: dict[str, Path]) -> None:
    results = json.loads((played["noc"] / "results.json").read_text())
    clicks = [results["metrics"][f"NoC@{percent}"] for percent in (80, 85, 90, 95)]
    assert [one["value"] for one in clicks] == sorted(one["value"] for one in clicks)
    assert all(1 <= one["value"] <= 4 and 0 <= one["failures"] <= 10 for one in clicks)
    assert results["metrics"]["first-click hit rate"]["value"] == 1
    assert results["config"]["policy"] == "simulated"


def test_going_on_after_a_stop_gives_the_same(played: dict[str, Path], tmp_path: Path) -> None:
    whole = (played["res"] / "trajectories.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    for kept in (lines[0][:9], b"".join(lines[:4]) + lines[4][:50], b"".join(lines[:3])):
        (tmp_path / "trajectories.jsonl").write_bytes(kept)
        assert evaluate(tmp_path, "--policy", "centre", "--json") == 0
        again = json.loads((tmp_path / "results.json").read_text())
        assert untimed(again) == untimed(json.loads((played["res"] / "results.json").read_text()))
    assert evaluate(tmp_path, "--policy", "centre", "--steps", "3") == 2


def test_shards_put_together_equal_the_whole(
    played: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [str(tmp_path / f"part{number}") for number in (1, 2, 3)]
    for number, part in enumerate(parts, 1):
        assert evaluate(Path(part), "--policy", "centre", "--shard", f"{number}/3", "--batch-images", "2") == 0
    capsys.readouterr()
    assert main(["report", *reversed(parts), "-o", str(tmp_path / "report"), "--gallery", "0", "--json"]) == 0
    (merged,) = json.loads(capsys.readouterr().out)["runs"]
    assert untimed(merged) == {
        **untimed(json.loads((played["res"] / "results.json").read_text())),
        "config": merged["config"],
    }
    assert main(["report", parts[0], parts[0], "-o", str(tmp_path / "report")]) == 2
    assert "no parts of one whole" in capsys.readouterr().err
    assert main(["report", parts[0], "-o", str(tmp_path / "report"), "--gallery", "0"]) == 0
    assert "2 of 5 images so far, 3 missing" in capsys.readouterr().err
    for name in ("report.html", "report.md"):
        text = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert 0 < text.index("2 of 5 images so far, 3 missing") < text.index("skipped")
    assert "3 missing" in json.loads((tmp_path / "report" / "results.json").read_text())["warnings"][0]


def test_report_is_one_page(played: dict[str, Path], tmp_path: Path) -> None:
    outs = [str(played[name]) for name in ("res", "noc")]
    assert main(["report", *outs, "-o", str(tmp_path), "--gallery", "1"]) == 0
    page = (tmp_path / "report.html").read_text()
    assert page.count("<figure") == 6
    assert page.count("<svg") == 3
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    for heading in ("Runs", "Text to mask", "cIoU beside the paper&#x27;s", "Mean IoU by number of clicks"):
        assert f"<h2>{heading}</h2>" in page
    markdown = (tmp_path / "report.md").read_text()
    assert "paper: SegAgent-Qwen + SimpleClick | 79.69 |" in markdown
    assert "the figures are no comparison" in markdown
    again = tmp_path / "again"
    assert main(["report", *outs, "-o", str(again), "--gallery", "1"]) == 0
    assert (again / "report.html").read_text() == page


def test_failed_samples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 255
    PillowImage.fromarray(mask).save(data / "m.png")
    PillowImage.fromarray(np.full((30, 40, 3), 90, np.uint8)).save(data / "b.png")
    (data / "a.png").write_bytes(b"no picture")
    samples = [{"image": name, "mask": "m.png", "text": "the bar"} for name in ("a.png", "b.png")]
    (data / "manifest.json").write_text(json.dumps({"samples": samples}))
    for _ in range(2):
        assert evaluate(tmp_path / "out", "--policy", "centre", data=str(data)) == 1
        assert "failed: image" in capsys.readouterr().err
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["counts"]["failed"] == len(results["failures"]) > 0
    assert results["counts"]["images"] == 2
    # The data set is gone; what was stored is enough.
    (data / "manifest.json").unlink()
    assert main(["report", str(tmp_path / "out"), "-o", str(tmp_path / "report")]) == 0
    captured = capsys.readouterr()
    assert "tell with --data" in captured.err
    assert "<figure" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--protocol", "filter", "--policy", "centre"], "predicts no IoU"),
        (["--policy", "centre", "--candidates", "2"], "predicts no IoU"),
        (["--shard", "3/2"], "i/n"),
        (["--shard", "x"], "i/n"),
        (["--enough", "0", "--policy", "centre"], "enough"),
        (["--policy", "simulated"], "unknown policy"),
        (["--protocol", "x"], "--protocol"),
    ],
)
def test_bad_options(tmp_path: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_reports_of_something_else_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report")]) == 2
    assert main(["trajectories", SCENES, "-o", str(tmp_path / "t.jsonl"), "--tool", "disc", "--workers", "1"]) == 0
    capsys.readouterr()
    assert main(["report", str(tmp_path / "t.jsonl"), "-o", str(tmp_path / "report")]) == 2
    assert "not made by segagent evaluate" in capsys.readouterr().err


def test_refinement_is_evaluated_and_reported(tmp_path: Path) -> None:
    assert evaluate(tmp_path / "out", "--protocol", "refine", "--policy", "centre", "--json") == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["metrics"]["refine gain"]["value"] == 0
    assert 0.4 < results["metrics"]["gIoU"]["value"] < 0.95
    assert evaluate(tmp_path / "out", "--protocol", "res", "--policy", "centre") == 2
    assert main(["report", str(tmp_path / "out"), "-o", str(tmp_path / "report"), "--gallery", "1"]) == 0
    assert "## Refinement of degraded masks" in (tmp_path / "report" / "report.md").read_text()
