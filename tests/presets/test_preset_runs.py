"""Every preset from the command line to the mask, on tiny checkpoints; and with a server that answers sensibly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Scripted, completion
from PIL import Image as PillowImage

from segagent.annotation.presets import preset_names
from segagent.cli.main import main
from segagent.core import Box, Click, InvalidAction, Trajectory
from segagent.policies.chat import FORMATS

Captured = pytest.CaptureFixture[str]
HEIGHT, WIDTH = 48, 64


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    pixels = np.stack([rows * 5, columns * 3, np.where((rows - 20) ** 2 + (columns - 30) ** 2 < 150, 220, 40)], axis=2)
    PillowImage.fromarray(pixels.astype(np.uint8)).save(path)
    return path


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEGAGENT_CACHE", str(tmp_path / "cache"))


def annotate(photo: Path, out: Path, *options: object) -> Trajectory:
    arguments = ["annotate", photo, "the blue disc", "-o", out, *options]
    assert main([str(argument) for argument in arguments]) == 0
    return Trajectory.from_dict(json.loads((out / "trajectory.json").read_text()))


@pytest.mark.parametrize("preset", preset_names())
def test_preset_runs_on_tiny_checkpoints(preset: str, weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    """The models talk nonsense, so what they reply is no action; everything else is as with real weights."""
    policy, _, tool = preset.partition("+")
    folder = weights[policy.removeprefix("segagent-")]
    record = annotate(
        photo, tmp_path / "out", "--preset", preset, "--policy-weights", f"{folder}?max_tokens=6&device=cpu",
        "--tool-weights", f"{weights[tool]}?device=cpu",
    )  # fmt: skip
    assert record.policy.startswith(f"hf:{folder}?max_tokens=6&device=cpu")
    assert record.tool.startswith(f"{tool}:{weights[tool]}?device=cpu")
    assert len(record.steps) == (1 if policy == "box" else 7)
    assert all(isinstance(step.action, InvalidAction) and step.text for step in record.steps)
    assert record.usage is not None
    assert record.usage.prompt_tokens > 0
    assert record.usage.calls >= record.num_policy_calls
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "mask.png", "overlay.png", "steps.png", "trajectory.json",
    ]  # fmt: skip


@pytest.mark.parametrize("preset", preset_names())
def test_preset_with_a_server_that_answers(preset: str, weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    """Replies in the convention that the preset is named for arrive as the pixels that were meant."""
    policy, _, tool = preset.partition("+")
    name = {"segagent-llava": "paper", "segagent-qwen": "segagent-qwen", "box": "gemini"}[policy]
    fmt, clicks = FORMATS[name], [Click(30 + step, 20 - step, step % 3 < 2) for step in range(8)]
    seen: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        words = body["messages"][0]["content"][-1]["text"]
        if "bounding box" in words:
            text = fmt.render(Box(16, 12, 48, 36), HEIGHT, WIDTH)
        else:
            seen.append(body)
            text = fmt.render(clicks[len(seen) - 1], HEIGHT, WIDTH, (30 + 5 * len(seen)) / 100)
        return completion(text, usage={"prompt_tokens": 50, "completion_tokens": 9})

    with Scripted(answer) as server:
        record = annotate(
            photo, tmp_path / "out", "--preset", preset,
            "--policy-weights", f"openai:gemini-like@{server.url}", "--tool-weights", f"{weights[tool]}?device=cpu",
        )  # fmt: skip
    first = [Box(16, 12, 48, 36)] if tool == "sam" else []
    expected = [*first, *clicks][: 1 if policy == "box" else 7]
    actions = [step.action for step in record.steps]
    for got, want in zip(actions, expected, strict=True):
        if isinstance(want, Click):
            assert isinstance(got, Click)
            assert (abs(got.x - want.x), abs(got.y - want.y), got.positive) == (0, 0, want.positive)
        else:
            assert got == want
    assert record.num_tool_calls == len(expected)
    assert record.mask_at(record.returned).any()
    assert record.usage is not None
    assert record.usage.prompt_tokens == 50 * record.num_policy_calls
    if policy == "box":
        assert (record.num_policy_calls, record.returned, seen) == (1, 1, [])
    else:
        assert record.predicted_iou_at(record.returned) == max(
            value for index in range(8) if (value := record.predicted_iou_at(index)) is not None
        )


def test_options_go_before_the_preset(weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    record = annotate(
        photo, tmp_path / "out", "--preset", "segagent-qwen+sam", "--first-box", "none", "--steps", 2,
        "--policy", "centre", "--tool-weights", f"{weights['sam']}?device=cpu",
    )  # fmt: skip
    assert (record.policy, record.steps[0].action) == ("centre", Click(32, 24, True))


def test_a_box_by_one_tool_is_the_seed_of_another(weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    """For tools without boxes: the baseline makes a mask of a grounding model's box, and clicks refine that mask."""
    box = FORMATS["gemini"].render(Box(16, 12, 48, 36), HEIGHT, WIDTH)
    with Scripted(lambda body: completion(box)) as server:
        seed = annotate(
            photo, tmp_path / "seed", "--preset", "box+sam", "--policy-weights", f"openai:gemini@{server.url}",
            "--tool-weights", f"{weights['sam']}?device=cpu",
        )  # fmt: skip
    record = annotate(
        photo, tmp_path / "out", "--preset", "segagent-qwen+simpleclick",
        "--policy-weights", f"{weights['qwen']}?max_tokens=4", "--tool-weights", f"{weights['simpleclick']}?device=cpu",
        "--seed-mask", tmp_path / "seed" / "mask.png", "--steps", 1,
    )  # fmt: skip
    assert record.start.kind == "mask"
    np.testing.assert_array_equal(record.mask_at(0), seed.mask_at(1))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--preset", "segagent-qwen+sam", "--tool-weights", "x"], "give --policy-weights"),
        (["--preset", "segagent-qwen+sam", "--policy-weights", "x"], "give --tool-weights"),
        (["--policy-weights", "x"], "belong to a --preset"),
        (["--preset", "box+sam", "--policy-weights", "x", "--tool-weights", "x", "--tool", "disc"], "twice"),
        (["--preset", "sam+box", "--policy-weights", "x", "--tool-weights", "x"], "unknown preset"),
        (["--first-box", "own", "--tool", "disc"], "draws no boxes"),
        (["--first-box", "own", "--box", "1,1,9,9"], "where nothing is given"),
    ],
)
def test_unusable_combinations(options: list[str], why: str, photo: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["annotate", str(photo), "x", "-o", str(tmp_path / "out"), *options]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_presets_are_listed_and_printed(capsys: Captured) -> None:
    assert main(["presets"]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == preset_names()
    assert main(["presets", "box+sam"]) == 0
    assert 'kind = "sam"' in capsys.readouterr().out


def test_a_preset_is_evaluated(weights: dict[str, Path], tmp_path: Path, capsys: Captured) -> None:
    """One command per row of Table 1, on the same path as ``annotate``."""
    arguments = [
        "evaluate", "scenes:1:size=64,sentences=1", "--preset", "box+sam", "--policy-weights",
        f"{weights['qwen']}?max_tokens=6&device=cpu", "--tool-weights", f"{weights['sam']}?device=cpu",
        "-o", str(tmp_path / "out"), "--json",
    ]  # fmt: skip
    assert main(arguments) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["counts"]["trajectories"] == 1
    assert results["metrics"]["invalid replies"]["value"] == 1.0
