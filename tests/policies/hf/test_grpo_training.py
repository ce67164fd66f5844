"""GRPO of a checkpoint by TRL, in the form in which SegAgent asks it: a random-weight model learns easy scenes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("trl")
sys.path.append(str(Path(__file__).parents[2] / "envs"))

from easy_scenes import PLACES, EasySample, EasyScenes
from tiny_checkpoints import make_qwen25, make_qwen_vl

from segagent.core import InputError, Observation
from segagent.envs import AnnotationEnv
from segagent.learning.rl import GrpoConfig
from segagent.learning.rl.checkpoints import train_grpo_checkpoint
from segagent.learning.sft import TrainedModel
from segagent.policies import make_policy

pytestmark = pytest.mark.filterwarnings("ignore")  # of the packages' own
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
def test_an_adapter_is_trained_and_an_interrupted_training_goes_on(folder: Path, tmp_path: Path) -> None:
    class OneIsBroken(EasyScenes):
        def __iter__(self) -> Iterator[EasySample]:
            return (replace(one, image_name="gone") if one.image_name == "1" else one for one in super().__iter__())

    config, out = replace(CONFIG, updates=3, group=4), tmp_path / "out"
    rest = f"{folder}?format=segagent&device=cpu&max_tokens=3"

    def stop(done: int, total: int, measured: dict[str, float]) -> None:
        seen.append(done)
        if seen == [1, 2]:
            raise KeyboardInterrupt

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        train_grpo_checkpoint(rest, OneIsBroken("3"), out, config, lora_rank=2, watch=stop)
    trained = train_grpo_checkpoint(rest, OneIsBroken("3"), out, config, lora_rank=2, watch=stop)
    assert seen == [1, 2, 2, 3]
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [1, 2, 3]
    assert not (out / "ref").exists()
    assert trained.left_out == 1
    assert "'gone'" in json.loads((out / "left_out.json").read_text())["easygone"]
    (reply,) = make_policy(f"{trained.spec}?max_tokens=3").propose([_look()])[0]
    assert reply.log_prob is not None


def test_what_trl_cannot_train_is_refused(tmp_path: Path) -> None:
    folder = make_qwen_vl(tmp_path / "qwen-vl")
    with pytest.raises(InputError, match="no model of type 'qwen'"):
        train_grpo_checkpoint(f"{folder}?device=cpu", EasyScenes(), tmp_path / "out", CONFIG)


def _look() -> Observation:
    return AnnotationEnv(EasyScenes(), "disc").reset(0).observation
