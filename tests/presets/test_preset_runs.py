"""Every preset from the command line to the mask, on tiny checkpoints; and with a server that answers sensibly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_hub import FakeHub
from loopback import Scripted, completion
from PIL import Image as PillowImage

from segagent.annotation.presets import load_preset, preset_names
from segagent.cli.main import main
from segagent.core import Box, Click, InvalidAction, Trajectory
from segagent.policies.chat import FORMATS, ChatFormat

Captured = pytest.CaptureFixture[str]
HEIGHT, WIDTH = 48, 64
BOX = Box(16, 12, 48, 36)
CLASSES = {
    "segagent-llava": "llava",
    "segagent-qwen": "qwen",
    "box": "qwen2.5",
    "visionreasoner-7b": "qwen2.5",
    "qwen3-vl-4b": "qwen3",
    "qwen3-vl-8b": "qwen3",
    "egm-4b": "qwen3",
    "sam3-agent": "qwen3",
}
"""The checkpoint of a preset's class of configuration; tool checkpoints go by the kind of tool."""


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
    row = load_preset(preset)
    folder, tool = weights[CLASSES[preset.partition("+")[0]]], weights[row.tool]
    record = annotate(
        photo, tmp_path / "out", "--preset", preset, "--policy-weights", f"{folder}?max_tokens=6&device=cpu",
        "--tool-weights", f"{tool}?device=cpu",
    )  # fmt: skip
    assert record.policy.startswith(f"hf:{folder}?max_tokens=6&device=cpu")
    assert record.tool.startswith(f"{row.tool}:{tool}?device=cpu")
    assert len(record.steps) == row.search.max_steps
    assert all(isinstance(step.action, InvalidAction) and step.text for step in record.steps)
    assert record.usage is not None
    assert record.usage.prompt_tokens > 0
    assert record.usage.calls >= record.num_policy_calls
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "mask.png", "overlay.png", "steps.png", "trajectory.json",
    ]  # fmt: skip


class Serving:
    """Answers sensibly in the convention of ``fmt``: a box where one is asked for, clicks that get better elsewhere."""

    def __init__(self, fmt: ChatFormat) -> None:
        self.fmt = fmt
        self.clicks = [Click(30 + step, 20 - step, step % 3 < 2) for step in range(8)]
        self.seen: list[dict[str, Any]] = []

    def __call__(self, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        words = body["messages"][0]["content"][-1]["text"]
        if "bounding box" in words or "bbox" in words:
            text = self.fmt.render(BOX, HEIGHT, WIDTH)
        else:
            self.seen.append(body)
            text = self.fmt.render(self.clicks[len(self.seen) - 1], HEIGHT, WIDTH, (30 + 5 * len(self.seen)) / 100)
        return completion(text, usage={"prompt_tokens": 50, "completion_tokens": 9})


@pytest.mark.parametrize("preset", preset_names())
def test_preset_with_a_server_that_answers(preset: str, weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    """Replies in the convention that the preset is named for arrive as the pixels that were meant."""
    row = load_preset(preset)
    options = dict(row.policy_options)
    serving = Serving(FORMATS[options.get("format", "gemini")])
    with Scripted(serving) as server:
        record = annotate(
            photo, tmp_path / "out", "--preset", preset,
            "--policy-weights", f"openai:gemini-like@{server.url}", "--tool-weights", f"{weights[row.tool]}?device=cpu",
        )  # fmt: skip
        bodies = server.requests
    first = [BOX] if row.first_box == "own" else []
    expected = [*first, *serving.clicks][: row.search.max_steps]
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
    if row.search.max_steps == 1:
        assert (record.num_policy_calls, record.returned, serving.seen) == (1, 1, [])
    else:
        assert record.predicted_iou_at(record.returned) == max(
            value for index in range(8) if (value := record.predicted_iou_at(index)) is not None
        )
    zero_shot = "history" in options
    assert all(("response_format" in body) == zero_shot for body in bodies)
    said = bodies[-1]["messages"][0]["content"]
    assert ("earlier actions are numbered" in said[-1]["text"]) == zero_shot
    assert len(said) == (3 if zero_shot else 2)


@pytest.mark.parametrize("preset", ["qwen3-vl-4b+sam2", "egm-4b+sam2"])
def test_the_same_behind_a_server(preset: str, weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    row = load_preset(preset)
    assert row.policy_weights is not None
    serving = Serving(FORMATS[dict(row.policy_options)["format"]])
    with Scripted(serving) as server:
        record = annotate(
            photo, tmp_path / "out", "--preset", f"{preset}@{server.url}",
            "--tool-weights", f"{weights['sam2']}?device=cpu",
        )  # fmt: skip
        assert {body["model"] for body in server.requests} == {row.policy_weights.hub}
        assert "dtype" not in record.policy
        assert record.policy.startswith(f"openai:{row.policy_weights.hub}@{server.url}?format=")
    assert record.steps[0].action == BOX


@pytest.mark.slow
def test_one_word_fetches_announces_and_runs(weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    """In a process of its own, for the hub's client reads its settings once: no weights are given, none are here."""
    quick = shutil.copytree(weights["qwen3"], tmp_path / "quick")
    # Every token ends a reply, so none takes long.
    (quick / "generation_config.json").write_text(json.dumps({"eos_token_id": list(range(400))}))
    models = {"Qwen/Qwen3-VL-4B-Instruct": quick, "facebook/sam2.1-hiera-large": weights["sam2"]}
    row = load_preset("qwen3-vl-4b+sam2")
    assert row.policy_weights is not None
    assert row.tool_weights is not None
    command = [
        sys.executable, "-m", "segagent", "annotate", str(photo), "the blue disc", "--preset", "qwen3-vl-4b+sam2",
        "--steps", "1", "-o", str(tmp_path / "out"),
    ]  # fmt: skip
    with FakeHub(models) as hub:
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
        done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for own in (row.policy_weights, row.tool_weights):
            told = f"fetching {own.hub}: 0."
            (line,) = [line for line in done.stderr.splitlines() if line.startswith(told)]
            assert f"licence apache-2.0, revision {own.revision}, into {tmp_path / 'home'}" in line
        assert "Fetching" in done.stderr, "the client's progress"
        assert "Qwen/Qwen3-VL-4B-Instruct/model.safetensors" in hub.fetched
        assert not any("original.pt" in file for file in hub.fetched)
    record = Trajectory.from_dict(json.loads((tmp_path / "out" / "trajectory.json").read_text()))
    assert record.policy.startswith(
        f"hf:{row.policy_weights.hub}?revision={row.policy_weights.revision}&dtype=bfloat16"
    )
    assert len(record.steps) == 1


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
        (["--preset", "box+sam", "--tool-weights", "x"], "give --policy-weights"),
        (["--preset", "segagent-qwen+simpleclick", "--policy-weights", "x"], "give --tool-weights"),
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
    machine, *listed = capsys.readouterr().out.splitlines()
    assert machine.startswith("this machine: ")
    assert [line.split()[0] for line in listed if not line.startswith(" ")] == preset_names()
    assert "    needs about 13 GB: " in "\n".join(listed)
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
