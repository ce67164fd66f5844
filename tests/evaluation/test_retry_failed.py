"""``segagent evaluate --retry-failed``: what failed is tried again, and nothing tells that it ever had failed."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.cli.main import main

TIMES = ("seconds", "seconds per accepted mask")
GOOD = (np.mgrid[:30, :40][1] < 17).astype(np.uint8) * 255


def save(path: Path, pixels: np.ndarray) -> None:
    PillowImage.fromarray(pixels).save(path)


def make_data(folder: Path) -> Path:
    """Four images with three sentences each; some masks are damaged, an image is absent."""
    folder.mkdir()
    samples = []
    for number, name in enumerate("abcd"):
        save(folder / f"{name}.png", np.full((30, 40, 3), 50 * number, np.uint8))
        for which in range(3):
            save(folder / f"{name}{which}.png", np.roll(GOOD, 4 * which + number))
            samples.append({"id": f"{name}-{which}", "image": f"{name}.png", "mask": f"{name}{which}.png", "text": "x"})
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return folder


def damage(folder: Path) -> dict[str, bytes]:
    """What stood in the files that are no good any more."""
    before = {name: (folder / name).read_bytes() for name in ("a1.png", "b.png", "d0.png", "d2.png")}
    for name in before:
        (folder / name).write_bytes(b"no picture")
    return before


def evaluate(data: Path, out: Path, *options: str) -> int:
    models = ["--policy", "centre", "--tool", "disc", "--workers", "1"]
    return main(["evaluate", str(data), "-o", str(out), *models, "--json", *options])


def results(out: Path) -> dict:
    found = json.loads((out / "results.json").read_text())
    return {**found, "metrics": {name: one for name, one in found["metrics"].items() if name not in TIMES}}


@pytest.mark.parametrize("protocol", [(), ("--protocol", "noc", "--max-clicks", "3")])
def test_as_if_it_had_never_failed(tmp_path: Path, protocol: tuple[str, ...]) -> None:
    data, out = make_data(tmp_path / "data"), tmp_path / "out"
    if protocol:
        protocol = (*protocol, "--policy", "simulated")
    assert evaluate(data, tmp_path / "whole", *protocol) == 0
    before = damage(data)
    assert evaluate(data, out, *protocol) == 1
    assert results(out)["counts"]["failed"] == 6
    first = (out / "trajectories.jsonl").read_bytes()
    # Nothing is mended: a round of retries that changes nothing.
    assert evaluate(data, out, "--retry-failed", *protocol) == 1
    second = (out / "trajectories.jsonl").read_bytes()
    assert second.startswith(first)
    assert len(second) > len(first)
    assert results(out)["counts"]["failed"] == 6
    for name in ("a1.png", "b.png"):
        (data / name).write_bytes(before[name])
    assert evaluate(data, out, *protocol) == 1
    assert results(out)["counts"]["failed"] == 6
    assert evaluate(data, out, "--retry-failed", *protocol) == 1
    assert {one["sample_id"] for one in results(out)["failures"]} == {"d-0", "d-2"}
    for name in before:
        (data / name).write_bytes(before[name])
    assert evaluate(data, out, "--retry-failed", *protocol) == 0
    assert results(out) == results(tmp_path / "whole")
    # Nothing is left to try, and nothing is asked again.
    last = (out / "trajectories.jsonl").read_bytes()
    assert evaluate(data, out, "--retry-failed", *protocol) == 0
    assert (out / "trajectories.jsonl").read_bytes() == last
    assert sorted(path.name for path in out.iterdir()) == ["results.json", "summary.json", "trajectories.jsonl"]
    assert main(["report", str(out), "-o", str(tmp_path / "report"), "--json"]) == 0


@pytest.mark.slow
def test_a_stopped_round_is_gone_on_with(tmp_path: Path) -> None:
    data, out = make_data(tmp_path / "data"), tmp_path / "out"
    file = out / "trajectories.jsonl"
    assert evaluate(data, tmp_path / "whole") == 0
    before = damage(data)
    assert evaluate(data, out) == 1
    first = file.stat().st_size
    for name, content in before.items():
        (data / name).write_bytes(content)
    assert evaluate(data, out, "--retry-failed") == 0
    whole = file.read_bytes()
    ends = [n + 1 for n, byte in enumerate(whole) if byte == ord("\n") and n >= first]
    for kept in sorted({first, first + 1, *ends, *(end + 70 for end in ends[:-1])}):
        file.write_bytes(whole[:kept])
        assert main(["report", str(out), "-o", str(tmp_path / "report"), "--json"]) == 0
        assert evaluate(data, out, "--retry-failed") == 0
        assert results(out) == results(tmp_path / "whole")


def test_failures_are_retried_once_all_images_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = make_data(tmp_path / "data"), tmp_path / "out"
    damage(data)
    assert evaluate(data, out, "--limit", "2") == 1
    assert results(out)["counts"] == {**results(out)["counts"], "images": 2, "failed": 4}
    assert not results(out)["complete"]
    assert evaluate(data, out, "--limit", "3", "--retry-failed") == 2
    assert "leave out the limit" in capsys.readouterr().err
    assert evaluate(data, out) == 1
    assert results(out)["complete"]


def test_retries_of_another_evaluation_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, out = make_data(tmp_path / "data"), tmp_path / "out"
    assert evaluate(data, out) == 0
    (out / "trajectories.jsonl").rename(out / "retried-1.jsonl")  # As version 0.1.0 left them.
    assert evaluate(data, out) == 2
    assert "belongs to an earlier evaluation" in capsys.readouterr().err


def test_parts_are_retried_each(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    assert evaluate(data, tmp_path / "whole") == 0
    before = damage(data)
    for part in ("1/2", "2/2"):
        assert evaluate(data, tmp_path / part[0], "--shard", part) == 1
    for name, content in before.items():
        (data / name).write_bytes(content)
    for part in ("1/2", "2/2"):
        assert evaluate(data, tmp_path / part[0], "--shard", part, "--retry-failed") == 0
    for outs in (["1", "2"], ["whole"]):
        folders = [str(tmp_path / out) for out in outs]
        assert main(["report", *folders, "-o", str(tmp_path / f"report{len(outs)}"), "--json"]) == 0
    one, two = (json.loads((tmp_path / f"report{n}" / "results.json").read_text())["runs"][0] for n in (1, 2))
    assert one["counts"] == two["counts"]
    for name in ("gIoU", "cIoU", "bIoU"):
        assert one["metrics"][name] == two["metrics"][name]
