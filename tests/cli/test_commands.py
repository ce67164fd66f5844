import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import segagent
from segagent.cli.main import app, main
from segagent.datasets.folder import FolderDataset

Captured = pytest.CaptureFixture[str]

COMMANDS = [info.name or str(info.callback.__name__) for info in app.registered_commands if info.callback is not None]
COMMANDS = [name.replace("_", "-") for name in COMMANDS]
GROUPS = ["reproduce", "train", "train-embedded"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["annotate", "--help"],
        ["benchmark", "--help"],
        ["leaderboard", "--help"],
        ["train-embedded", "tool", "--help"],
    ],
)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from segagent.cli.main import app, main; code = main(sys.argv[1:])\n"
        "heavy = {'torch', 'cv2', 'numpy', 'PIL', 'skimage', 'pycocotools', 'rich'} & set(sys.modules)\n"
        "print('loaded', sorted(heavy)); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"
    assert done.stdout.startswith("Usage: segagent")


def test_annotating_with_weightless_parts_loads_no_torch(tmp_path: Path, photo: Path) -> None:
    code = (
        "import sys; from segagent.cli.main import app, main; code = main(sys.argv[1:])\n"
        "print('torch' in sys.modules); sys.exit(code)"
    )
    arguments = ["annotate", photo, "x", "-o", tmp_path / "out", "--policy", "centre", "--tool", "disc", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def _paths(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words after ``segagent`` that name each command and group of commands, ``segagent`` itself with none."""
    yield path
    for name, one in getattr(command, "commands", {}).items():
        yield from _paths(one, (*path, name))


PATHS = list(_paths(typer.main.get_command(app)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "segagent")
def test_each_help_is_whole_and_fits_the_terminal(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*path, "--help"]) == 0
    text = capsys.readouterr().out.split("Examples:")[0]
    assert [line for line in text.splitlines() if len(line) > 80 or re.search(r"[a-z,.] ?\.\.\.$", line)] == []


def test_commands_are_listed_by_what_a_person_does(capsys: Captured) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out.split("Options:")[1].split("Examples:")[0]
    parts = re.findall(r"^(\w[\w ]*):$", listed, re.M)
    assert parts == ["Annotate", "Look and correct", "Work together", "Measure", "Train", "Data", "Models"]
    measure = listed.split("Measure:")[1].split("Train:")[0]
    assert {"evaluate", "report", "benchmark", "leaderboard", "reproduce"} <= set(measure.split())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "segagent")
def test_each_help_has_examples_that_can_be_typed(path: tuple[str, ...], capsys: Captured) -> None:
    assert main([*path, "--help"]) == 0
    shown = re.findall(r"^ +(segagent .*)", capsys.readouterr().out.split("Examples:")[1], re.M)
    assert any(line.startswith(" ".join(("segagent", *path, ""))) for line in shown)
    for line in shown:
        command: Any = typer.main.get_command(app)
        _, *words = shlex.split(line)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(line, words)  # Reads every word, and raises where one cannot be meant.


def test_version_and_bare_command(capsys: Captured) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"segagent {segagent.__version__}\n"
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(command in listed for command in [*COMMANDS, *GROUPS])


def test_scenes(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "new" / "scenes"
    assert main(["scenes", str(out), "--num", "2", "--seed", "5", "--split", "test", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    result = json.loads(captured.out)
    dataset = FolderDataset(out)
    assert (result["num_scenes"], result["num_samples"]) == (2, len(dataset))
    assert result["manifest"] == str(out / "manifest.json")
    mask, ignore = dataset[0].load_target()
    assert mask.any()
    assert ignore is None
    assert [path.name for path in out.parent.iterdir()] == ["scenes"]

    assert main(["scenes", str(out), "--num", "1"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "holds something already" in error


def test_scenes_into_an_empty_folder(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "empty"
    out.mkdir()
    assert main(["scenes", str(out), "--num", "1"]) == 0
    assert "1 scenes" in capsys.readouterr().out
    assert (out / "manifest.json").is_file()


def test_interrupted_scenes_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from segagent.datasets.scenes import export

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "generate_scene", interrupted)
    assert main(["scenes", str(tmp_path / "out"), "--num", "2"]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["--num", "0"], ["--num", "-3"], ["--split", "all"], ["--seed", "-1"]])
def test_bad_scene_options(tmp_path: Path, arguments: list[str], capsys: Captured) -> None:
    assert main(["scenes", str(tmp_path / "out"), *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_train_tool_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from segagent.learning.tool import train as training

    asked = []

    def fake(config, out, *, resume, report):  # type: ignore[no-untyped-def]
        asked.append((config.steps, config.seed, out, resume))
        report({"step": 5, "seconds": 1.0, "side": 160, "loss": 0.5})
        return training.TrainedTool(out / "tool.safetensors", 10, 2.0, 0.25)

    monkeypatch.setattr(training, "train_tool", fake)
    arguments = ["train-embedded", "tool", "-o", str(tmp_path), "--steps", "10", "--seed", "4", "--fresh"]
    assert main(arguments) == 0
    assert "10 steps in 2 s, loss 0.2500" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 10
    assert asked == [(10, 4, tmp_path, False)] * 2


def test_train_policy_passes_its_options_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    from segagent.learning.policy import recipe as training

    asked = []

    def fake(config, out, *, resume, report):  # type: ignore[no-untyped-def]
        asked.append((config.minutes, config.tool, out, resume))
        report("stage 1")
        return training.TrainedPolicy(out / "policy.safetensors", {"pearson": 0.7}, 2.0)

    monkeypatch.setattr(training, "train_policy", fake)
    arguments = ["train-embedded", "policy", "-o", str(tmp_path), "--minutes", "3", "--tool", "grabcut"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "pearson 0.700" in captured.out
    assert "stage 1" in captured.err
    assert main([*arguments, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["measured"] == {"pearson": 0.7}
    assert captured.err == ""
    assert asked == [(3.0, "grabcut", tmp_path, True)] * 2


def test_demo(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "-o", str(out), "--policy", "centre", "--tool", "disc"]) == 0
    said = capsys.readouterr().out
    for folder in ("scene", "coffee", "chelsea", "astronaut"):
        names = sorted(path.name for path in (out / folder).iterdir())
        assert names == ["image.png", "mask.png", "overlay.png", "steps.png", "trajectory.json"]
        assert str(out / folder / "steps.png") in said
    assert "true IoU" in said


def test_phases_are_progress_bars_one_after_the_other(capsys):
    from segagent.cli.console import phases

    with phases(unit="things", quiet=False) as update:
        for what, total in (("first", 2), ("second", 3)):
            for done in range(1, total + 1):
                update(what, done, total, "note")
    assert capsys.readouterr().out == ""
    with phases(unit="things", quiet=True) as update:
        update("first", 1, 2, "")
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_audit_of_one_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenes", str(tmp_path / "set"), "--num", "1", "--seed", "3", "--split", "val"]) == 0
    sample = json.loads((tmp_path / "set" / "manifest.json").read_text())["samples"][0]
    capsys.readouterr()
    picture, mask = (str(tmp_path / "set" / sample[key]) for key in ("image", "mask"))
    assert main(["audit", picture, sample["text"], "--mask", mask, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["predicted_iou"] <= 1
    assert found["likely_error"] in ("wrong object", "missing part", "spill", "rough edge", "ok")
    assert main(["audit", picture, sample["text"]]) == 2
    assert "--mask is missing" in capsys.readouterr().err
    assert main(["audit", str(tmp_path / "set")]) == 2
    assert "--out is missing" in capsys.readouterr().err
