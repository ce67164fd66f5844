"""GRPO of a checkpoint by TRL, in the form in which SegAgent asks it: a random-weight model learns easy scenes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl")
sys.path.append(str(Path(__file__).parents[2] / "envs"))

from easy_scenes import PLACES, RIGHT, EasyScenes
from tiny_checkpoints import make_qwen25

from segagent.core import Click, InputError
from segagent.learning.rl import GrpoConfig
from segagent.learning.rl.checkpoints import train_grpo_checkpoint
from segagent.policies import make_policy

CONFIG = GrpoConfig(
    updates=25, questions=2, group=8, max_steps=2, passes=1, learning_rate=1e-2, kl=0.01, tool="disc",
    reward="iou_gain+0.1*format_kept",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_qwen25(tmp_path / "tiny", [f"Positive point: ({x}, {y})" for x, y in PLACES])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the package's own
def test_the_reward_of_all_weights_rises_and_the_model_is_a_policy(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    rest = f"{folder}?format=segagent&device=cpu&max_tokens=2"
    trained = train_grpo_checkpoint(rest, EasyScenes(), out, CONFIG, lora_rank=0, micro_batch=16)
    rewards = [json.loads(line)["reward"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(rewards) == CONFIG.updates
    assert sum(rewards[:4]) / 4 < 0.2, rewards
    assert sum(rewards[-4:]) / 4 > 0.35, rewards
    assert train_grpo_checkpoint(rest, EasyScenes(), out, CONFIG, lora_rank=0, micro_batch=16) == trained
    with pytest.raises(InputError, match="seed"):
        train_grpo_checkpoint(rest, EasyScenes(), out, replace(CONFIG, seed=1), lora_rank=0, micro_batch=16)
