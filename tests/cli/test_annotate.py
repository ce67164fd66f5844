import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from segagent.cli.main import main
from segagent.core import Trajectory

Captured = pytest.CaptureFixture[str]

GOOD_SCRIPT = [
    "Current IoU: 0. Positive point: (20, 15)",
    "Current IoU: 40. Positive point: (26, 15)",
    "Current IoU: 80. Negative point: (1, 1)",
    "Current IoU: 55. Finish",
]


def run(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def read_grey(path: Path) -> np.ndarray:
    with PillowImage.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def test_writes_the_four_files_and_prints_one_object(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    script(GOOD_SCRIPT)
    out = tmp_path / "deep" / "out"
    code, stdout, stderr = run(capsys, "annotate", photo, "the red box", "-o", out, "--tool", "disc", "--json")
    assert (code, stderr) == (0, "")
    assert stdout.count("\n") == 1
    result = json.loads(stdout)
    assert result["predicted_iou"] == 0.8
    assert result["num_steps"] == 4
    assert result["returned_step"] == 2
    assert result["clicks"] == [{"x": 20, "y": 15, "positive": True}, {"x": 26, "y": 15, "positive": True}]
    assert result["stopped"] == "finish"
    assert result["mask"] == str(out / "mask.png")
    assert result["seconds"] == round(json.loads((out / "trajectory.json").read_text())["seconds"], 3)
    assert result["warnings"] == []

    assert sorted(path.name for path in out.iterdir()) == ["mask.png", "overlay.png", "steps.png", "trajectory.json"]
    assert sorted(path.name for path in out.parent.iterdir()) == ["out"]
    mask = read_grey(out / "mask.png")
    assert mask.shape == (30, 40)
    assert set(np.unique(mask)) == {0, 255}
    trajectory = Trajectory.from_dict(json.loads((out / "trajectory.json").read_text()))
    assert trajectory.returned == 2
    assert trajectory.text == "the red box"
    np.testing.assert_array_equal(trajectory.mask_at(2), mask > 0)
    with PillowImage.open(out / "overlay.png") as overlay:
        assert overlay.size == (40, 30)
        assert overlay.getpixel((20, 15)) == (100, 142, 15)
    with PillowImage.open(out / "steps.png") as strip:
        assert strip.width > 600


def test_summary_for_a_person(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    script(GOOD_SCRIPT)
    out = tmp_path / "out"
    code, stdout, stderr = run(capsys, "annotate", photo, "the red box", "-o", out, "--tool", "disc")
    assert (code, stderr) == (0, "")
    assert "predicted IoU 0.80" in stdout
    assert str(out / "steps.png") in stdout
    assert "+(20, 15)" in stdout


def test_budget_and_replacing_an_earlier_result(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mask.png").write_text("old")
    (out / "mine.txt").write_text("kept")
    script(GOOD_SCRIPT)
    code, stdout, _ = run(
        capsys, "annotate", photo, "x", "-o", out, "--tool", "disc", "--steps", 1, "--json", "--seed", 3
    )
    result = json.loads(stdout)
    assert (code, result["num_steps"], result["stopped"]) == (0, 1, "max_steps")
    assert read_grey(out / "mask.png").shape == (30, 40)
    assert (out / "mine.txt").read_text() == "kept"


def test_garbage_and_out_of_range_replies_are_counted(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    script(
        [
            "Current IoU: 0. I cannot see it \x00\x1b[31m \ud800 [bold]",
            "Positive point: (4000, 15)",
            "Positive point: (-1, 15)",
            "Positive point: (nan, 15)",
            "",
            "Current IoU: 10. Positive point: (20, 15)",
            "Current IoU: 90. Finish",
        ]
    )
    out = tmp_path / "out"
    code, stdout, stderr = run(
        capsys, "annotate", photo, "x", "-o", out, "--tool", "disc", "--json", "--steps", 20, "--candidates", 1
    )
    assert code == 0, stderr
    result = json.loads(stdout)
    record = json.loads((out / "trajectory.json").read_text())
    kinds = [step["action"]["type"] for step in record["steps"]]
    assert result["num_invalid"] == kinds.count("invalid") > 0
    assert result["num_steps"] == len(kinds)
    assert sorted(path.name for path in out.iterdir()) == ["mask.png", "overlay.png", "steps.png", "trajectory.json"]


def test_baseline_without_predicted_iou(tmp_path: Path, photo: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    arguments = ["annotate", photo, "x", "-o", out, "--policy", "centre", "--tool", "disc"]
    code, stdout, _ = run(capsys, *arguments, "--json")
    assert code == 0
    assert json.loads(stdout)["predicted_iou"] is None
    code, stdout, _ = run(capsys, *arguments)
    assert code == 0
    assert "predicts no IoU" in stdout


@pytest.mark.parametrize("orientation", [1, 3, 6, 8, 5])
def test_mask_has_the_displayed_size_and_place(tmp_path: Path, orientation: int, script, capsys: Captured) -> None:
    stored = np.full((30, 40, 3), 255, np.uint8)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.jpg"
    PillowImage.fromarray(stored).save(path, exif=exif)
    script(["Current IoU: 0. Positive point: (3, 25)", "Current IoU: 50. Finish"])
    out = tmp_path / "out"
    code, _, stderr = run(capsys, "annotate", path, "x", "-o", out, "--tool", "disc", "--json")
    assert code == 0, stderr
    mask = read_grey(out / "mask.png")
    assert mask.shape == ((40, 30) if orientation in {5, 6, 8} else (30, 40))
    assert mask[25, 3] == 255
    with PillowImage.open(out / "overlay.png") as overlay:
        assert overlay.size == mask.shape[::-1]


def test_starting_from_a_mask_and_from_a_box(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 255
    PillowImage.fromarray(mask).save(tmp_path / "mask.png")
    for extra in (["--mask", tmp_path / "mask.png"], ["--box", "10,10,30,20"]):
        script(["Current IoU: 90. Positive point: (1, 1)", "Current IoU: 20. Finish"])
        out = tmp_path / "out"
        code, stdout, stderr = run(capsys, "annotate", photo, "x", "-o", out, "--tool", "disc", "--json", *extra)
        assert code == 0, stderr
        assert json.loads(stdout)["returned_step"] == 0
        assert json.loads(stdout)["predicted_iou"] == 0.9
        np.testing.assert_array_equal(read_grey(out / "mask.png"), mask)


def test_refine_never_returns_a_mask_scored_worse(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 10:30] = 255
    PillowImage.fromarray(mask).save(tmp_path / "mask.png")
    arguments = ["refine", photo, "x", "--mask", tmp_path / "mask.png", "-o", tmp_path / "out", "--tool", "disc"]
    script(["Current IoU: 70. Positive point: (1, 1)"] + ["Current IoU: 20. Positive point: (30, 3)"] * 9)
    code, stdout, _ = run(capsys, *arguments, "--json")
    assert (code, json.loads(stdout)["predicted_iou"]) == (0, 0.7)
    np.testing.assert_array_equal(read_grey(tmp_path / "out" / "mask.png"), mask)
    script(["Current IoU: 70. Positive point: (1, 1)", "Current IoU: 71. Finish"])
    code, stdout, _ = run(capsys, *arguments, "--json")
    assert (code, json.loads(stdout)["predicted_iou"]) == (0, 0.71)


def test_refine_needs_a_policy_that_predicts(tmp_path: Path, photo: Path, capsys: Captured) -> None:
    PillowImage.new("L", (40, 30), 255).save(tmp_path / "mask.png")
    code, _, stderr = run(
        capsys, "refine", photo, "x", "--mask", tmp_path / "mask.png", "-o", tmp_path / "out", "--policy", "centre",
        "--tool", "disc",
    )  # fmt: skip
    assert code == 2
    assert "predicts no IoU" in stderr
    assert not (tmp_path / "out").exists()


def test_score(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    PillowImage.new("L", (40, 30), 255).save(tmp_path / "mask.png")
    arguments = ["score", photo, "the box", "--mask", tmp_path / "mask.png", "--policy", "centre"]
    script(["Current IoU: 83. Finish"])
    code, stdout, _ = run(capsys, *arguments, "--json")
    assert code == 0
    assert json.loads(stdout)["predicted_iou"] == 0.83
    script(["Current IoU: 83. Finish"])
    assert run(capsys, *arguments) == (0, "predicted IoU 0.83\n", "")
    script(["no idea"])
    code, stdout, stderr = run(capsys, *arguments, "--json")
    assert (code, stdout) == (2, "")
    assert "predicts no IoU" in stderr


def test_score_gives_the_calibrated_iou_where_one_is_stored(tmp_path: Path, photo: Path, script, capsys) -> None:
    PillowImage.new("L", (40, 30), 255).save(tmp_path / "mask.png")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "calibration.json").write_text('{"predicted": [0.5, 0.9], "expected": [0.2, 0.6]}')
    arguments = ["score", photo, "the box", "--mask", tmp_path / "mask.png", "--policy", f"embedded:{tmp_path}/model"]
    script(["Current IoU: 70. Finish"])
    assert run(capsys, *arguments) == (0, "predicted IoU 0.70, calibrated 0.40\n", "")
    script(["Current IoU: 70. Finish"])
    code, stdout, _ = run(capsys, *arguments, "--json")
    assert code == 0
    assert json.loads(stdout)["calibrated_iou"] == pytest.approx(0.4)


def test_unknown_words_are_told(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    policy = script(GOOD_SCRIPT)
    policy.unknown_words = lambda text: [word for word in text.split() if word == "flibbertigibbet"]
    out = tmp_path / "out"
    code, stdout, stderr = run(capsys, "annotate", photo, "the flibbertigibbet", "-o", out, "--tool", "disc", "--json")
    assert code == 0
    assert stderr.startswith("warning: ")
    assert stderr.count("\n") == 1
    assert "flibbertigibbet" in json.loads(stdout)["warnings"][0]


def test_doubts_about_the_picture_are_told(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    policy = script(GOOD_SCRIPT)
    policy.doubts = lambda image, text: [f"is lost in {image.width} x {image.height} pixels"]
    out = tmp_path / "out"
    code, stdout, stderr = run(capsys, "annotate", photo, "the dog", "-o", out, "--tool", "disc", "--json")
    assert code == 0
    assert "is lost in" in stderr
    assert "is lost in" in json.loads(stdout)["warnings"][0]


def test_non_ascii_text(tmp_path: Path, photo: Path, script, capsys: Captured) -> None:
    script(GOOD_SCRIPT)
    out = tmp_path / "出力"
    code, stdout, stderr = run(capsys, "annotate", photo, "  the naïve 杯子 🙂 ", "-o", out, "--tool", "disc", "--json")
    assert (code, stderr) == (0, "")
    assert json.loads((out / "trajectory.json").read_text())["text"] == "the naïve 杯子 🙂"
    assert json.loads(stdout)["mask"] == str(out / "mask.png")


OF_DATA_SETS = {
    "annotate": ["--found=0.4", "--workers=1", "--ray=local", "--retry-failed", "--prompts=p.csv"],
    "refine": ["--below=0.5", "--margin=0", "--sure=0", "--workers=1", "--ray=local", "--retry-failed", "--images=i"],
    "audit": ["--workers=1", "--ray=local", "--retry-failed", "--images=i", "--out=o", "--price=1,1"],
}


@pytest.mark.parametrize(
    ("job", "option"),
    [
        (job, option)
        for job, own in OF_DATA_SETS.items()
        for option in [*own, "--budget-seconds=9", "--budget-calls=9", "--budget-money=9"]
    ],
)
def test_one_picture_refuses_what_only_data_sets_have(
    job: str, option: str, tmp_path: Path, photo: Path, capsys: Captured
) -> None:
    more = {"annotate": ["-o", tmp_path / "o"], "refine": ["-o", tmp_path / "o", "--mask", photo]}
    given = more.get(job, ["--mask", photo])
    code, _, stderr = run(capsys, job, photo, "x", *given, "--policy", "centre", "--tool", "disc", option)
    assert code == 2
    assert option.partition("=")[0] + ":" in stderr
    assert "belongs to the other of the two" in stderr
    assert not (tmp_path / "o").exists()


def test_a_price_that_limits_nothing_is_refused(tmp_path: Path, photo: Path, capsys: Captured) -> None:
    code, _, stderr = run(capsys, "annotate", photo, "x", "-o", tmp_path / "o", "--policy", "centre", "--price", "1,1")
    assert (code, "--max-money" in stderr) == (2, True)


@pytest.mark.parametrize(
    ("job", "option"), [("annotate", "--mask"), ("annotate", "--box"), ("refine", "--mask"), ("audit", "--mask")]
)
def test_a_data_set_refuses_what_only_one_picture_has(
    job: str, option: str, tmp_path: Path, photo: Path, capsys: Captured
) -> None:
    value = "1,1,9,9" if option == "--box" else photo
    code, _, stderr = run(capsys, job, "scenes:1", "-o", tmp_path / "o", "--policy", "centre", option, value)
    assert (code, "belongs to the other of the two" in stderr) == (2, True)
