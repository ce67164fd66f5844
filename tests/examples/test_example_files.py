"""Every file of examples/ runs, and those that add something pass the conformance suites as anybody else's would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from segagent.conformance import DatasetConformance, PolicyConformance, ToolConformance
from segagent.conformance.policies import MakePolicy
from segagent.core import Click, Image, InputError, Observation, SegmentationTool, SegmentRequest, empty_mask
from segagent.datasets import Dataset, open_dataset
from segagent.policies import make_policy
from segagent.policies.chat import load_format
from segagent.tools import make_tool

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


class TestTool(ToolConformance):
    @pytest.fixture
    def tool(self) -> SegmentationTool:
        return make_tool("python:my_tool:FloodTool")


class TestPolicy(PolicyConformance):
    @pytest.fixture
    def make_policy(self) -> MakePolicy:
        return partial(make_policy, "python:my_policy:ColourPolicy:margin=40")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A folder as ``my_data.py`` reads it: a blue and a red square."""
    for number, (word, colour) in enumerate([("blue", (255, 0, 0)), ("red", (0, 0, 255))]):
        pixels, mask = np.full((60, 80, 3), 120, np.uint8), np.zeros((60, 80), np.uint8)
        pixels[10:40, 20:60], mask[10:40, 20:60] = colour, 255
        cv2.imwrite(str(tmp_path / f"{number}.jpg"), pixels)
        cv2.imwrite(str(tmp_path / f"{number}.mask.png"), mask)
        (tmp_path / f"{number}.txt").write_text(f"the {word} square\n")
    return tmp_path


class TestDataset(DatasetConformance):
    @pytest.fixture
    def dataset(self, pairs: Path) -> Dataset:
        return open_dataset(f"python:my_data:open_pairs:folder={pairs}")


def test_a_data_set_tells_what_is_missing(pairs: Path) -> None:
    (pairs / "1.txt").unlink()
    with pytest.raises(InputError, match=r"1\.txt: no such file; it belongs to 1\.jpg"):
        open_dataset(f"python:my_data:open_pairs:folder={pairs}")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a command in a folder that holds the examples, with ``segagent`` on the path; gives what it printed."""
    for file in EXAMPLES.iterdir():
        shutil.copy(file, tmp_path)
    programs = tmp_path / "programs"
    programs.mkdir()
    command = programs / "segagent"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m segagent.cli.main "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent / "src"), "PATH": path}

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.slow
def test_all_three_together_from_the_command_line(run: Callable[..., str], pairs: Path) -> None:
    data = "python:my_data:open_pairs:folder=."
    models = "--tool", "python:my_tool:FloodTool:tolerance=30", "--policy", "python:my_policy:ColourPolicy"
    run("segagent", "evaluate", data, *models, "-o", "measured")
    header = (pairs / "measured" / "trajectories.jsonl").read_text().split("\n")[0]
    for module in ("my_tool", "my_policy", "my_data"):
        assert f'"{module}": "source ' in header
    run("segagent", "annotate", data, *models, "-o", "run", "--workers", "2")
    run("segagent", "review", "run", "--data", data)


@pytest.mark.slow
def test_episode(run: Callable[..., str]) -> None:
    said = run(sys.executable, "episode.py")
    assert "1: Current IoU: " in said
    assert "true IoU of the mask it looks at: 0.00" in said


@pytest.mark.slow
def test_train_in_miniature(run: Callable[..., str], tmp_path: Path) -> None:
    run("./train_in_miniature.sh", "out")
    assert (tmp_path / "out" / "s1" / "training.json").is_file()
    assert (tmp_path / "out" / "report" / "report.md").is_file()


def test_the_tool_takes_an_area_of_one_colour() -> None:
    pixels = np.full((60, 80, 3), 120, np.uint8)
    pixels[10:40, 20:60] = (200, 30, 30)
    image = Image.of(pixels)
    tool = make_tool("python:my_tool:FloodTool")
    (answer,) = tool.segment([SegmentRequest(tool.embed([image])[0], empty_mask(60, 80), None, (Click(30, 20, True),))])
    np.testing.assert_array_equal(answer.mask, pixels[..., 0] == 200)


def test_the_policy_clicks_on_the_colour_it_reads() -> None:
    pixels = np.full((61, 81, 3), 120, np.uint8)
    pixels[10:41, 20:61] = (200, 30, 30)
    policy = make_policy("python:my_policy:ColourPolicy")
    look = Observation(Image.of(pixels), "the red square", empty_mask(61, 81))
    assert policy.propose([look])[0][0].action == Click(35, 25, True)


def test_the_chat_format_is_read_and_reads() -> None:
    fmt = load_format(str(EXAMPLES / "my_format.json"))
    written = fmt.render(Click(30, 20, True), 100, 200, 0.5)
    assert written == '{"iou": 0.5, "action": "positive", "point": [20.5, 15.2]}'
    action, predicted = fmt.parse(written, 100, 200)
    assert (action, predicted) == (Click(30, 20, True), 0.5)


@pytest.mark.parametrize("file", [*EXAMPLES.glob("my_*"), *EXAMPLES.glob("with_*")], ids=lambda path: path.name)
def test_examples_are_short(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 40
