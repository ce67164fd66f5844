"""GRPO of a checkpoint by TRL, in the form in which SegAgent asks it: a random-weight model learns easy scenes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl")
sys.path.append(str(Path(__file__).parents[2] / "envs"))

from easy_scenes import PLACES, EasyScenes
from tiny_checkpoints import make_qwen25

from segagent.core import InputError, Observation
from segagent.envs import AnnotationEnv
from segagent.learning.rl import GrpoConfig
from segagent.learning.rl.checkpoints import train_grpo_checkpoint
from segagent.learning.sft import TrainedModel
from segagent.policies import make_policy

CONFIG = GrpoConfig(
    updates=30, questions=1, group=16, max_steps=2, passes=1, learning_rate=2e-2, kl=0.01, tool="disc",
    reward="iou_gain+0.2*format_kept",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_qwen25(tmp_path / "tiny", [f"Positive point: ({x}, {y})" for x, y in PLACES])


def greedy_ious(policy: str) -> list[float]:
    env = AnnotationEnv(EasyScenes(), "disc", max_steps=1)
    made, ious = make_policy(policy), []
    for question in env.questions:
        env.act(made.propose([env.reset(question.index).observation])[0][0].text)
        ious.append(env.iou)
    return ious


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the package's own
def test_the_reward_rises_and_the_model_is_a_policy(folder: Path, tmp_path: Path) -> None:
    out, options = tmp_path / "out", "device=cpu&max_tokens=3"

    def train(config: GrpoConfig) -> TrainedModel:
        rest = f"{folder}?format=segagent&{options}"
        return train_grpo_checkpoint(rest, EasyScenes(), out, config, lora_rank=0, micro_batch=16)

    trained = train(CONFIG)
    rewards = [json.loads(line)["reward"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(rewards) == CONFIG.updates
    assert sum(rewards[-10:]) > sum(rewards[:10]) + 1, rewards
    assert sum(greedy_ious(f"hf:{folder}?format=segagent&{options}")) == 0
    assert greedy_ious(f"{trained.spec}?{options}") == [1, 1, 1, 1]
    assert train(CONFIG) == trained
    with pytest.raises(InputError, match="seed"):
        train(replace(CONFIG, seed=1))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_is_trained_and_an_interrupted_training_goes_on(folder: Path, tmp_path: Path) -> None:
    config, out = replace(CONFIG, updates=3, group=4), tmp_path / "out"
    rest = f"{folder}?format=segagent&device=cpu&max_tokens=3"

    def stop(done: int, total: int, measured: dict[str, float]) -> None:
        seen.append(done)
        if seen == [1, 2]:
            raise KeyboardInterrupt

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train_grpo_checkpoint(rest, EasyScenes(), out, config, lora_rank=2, watch=stop)
    trained = train_grpo_checkpoint(rest, EasyScenes(), out, config, lora_rank=2, watch=stop)
    assert seen == [1, 2, 2, 3]
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert not (out / "ref").exists()
    (reply,) = make_policy(f"{trained.spec}?max_tokens=3").propose([_look()])[0]
    assert reply.log_prob is not None


def _look() -> Observation:
    return AnnotationEnv(EasyScenes(), "disc").reset(0).observation
