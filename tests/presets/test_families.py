"""Every family and every format of docs/chat-formats.md, from the command line to the mask, on tiny random weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from tiny_families import MAKERS

from segagent.cli.main import main
from segagent.conformance.policies import observation
from segagent.core import InvalidAction, Trajectory
from segagent.policies import make_policy
from segagent.policies.chat import BY_MODEL_TYPE, FORMATS, ChatPolicy

pytestmark = pytest.mark.slow

LOOKS = [
    observation(40 + 30 * n, 90 - 10 * n, text, seed=n) for n, text in enumerate(("the mug", "a longer text", "x"))
]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    PillowImage.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    return path


def annotate(photo: Path, out: Path, policy: str) -> Trajectory:
    command = ["annotate", str(photo), "the mug", "--policy", policy, "--tool", "disc", "--steps", "1", "-o", str(out)]
    assert main(command) == 0
    return Trajectory.from_dict(json.loads((out / "trajectory.json").read_text()))


def test_no_family_is_left_out() -> None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    assert set(BY_MODEL_TYPE) - set(MAKERS) == {"molmo"}
    assert "molmo" not in CONFIG_MAPPING_NAMES, "Molmo 1 runs code of its own, so it is for servers only"


@pytest.mark.parametrize("family", MAKERS)
def test_family(family: str, photo: Path, tmp_path: Path) -> None:
    folder = MAKERS[family](tmp_path / "model")
    policy = make_policy(f"hf:{folder}?max_tokens=8")
    assert isinstance(policy, ChatPolicy)
    assert policy.format.name == BY_MODEL_TYPE[family]
    rows = [[one.text for one in row] for row in policy.propose(LOOKS, 3, temperature=1.0, seeds=[1, 2, 3])]
    alone = [policy.propose([look])[0][0].text for look in LOOKS]
    assert [row[0] for row in rows] == alone, "neither the batch nor the other candidates change the greedy reply"
    assert any(len(set(row)) == 3 for row in rows)
    record = annotate(photo, tmp_path / "out", f"hf:{folder}?max_tokens=8")
    assert isinstance(record.steps[0].action, InvalidAction)
    assert record.usage is not None
    assert record.usage.prompt_tokens > 0


@pytest.mark.parametrize("name", FORMATS)
def test_format(name: str, weights: dict[str, Path], photo: Path, tmp_path: Path) -> None:
    """Box first, then clicks; with all that zero-shot models are asked on top where the format is for them."""
    more = "&history=3&verify=1&box=first" if FORMATS[name].notation != "text" else ""
    spec = f"hf:{weights['qwen3']}?format={name}&max_tokens=6{more}"
    record = annotate(photo, tmp_path / "out", spec)
    assert record.policy.startswith(spec)
    assert len(record.steps) == 1
