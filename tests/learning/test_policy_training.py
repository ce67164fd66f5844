from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from segagent.cpu import Precision, computing_in
from segagent.learning.policy.config import PolicyTraining
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.recipe import starting_network, train_policy
from segagent.learning.policy.scene_store import SceneStore, write_shard
from segagent.learning.policy.train_objects import match_objects, worn_coverage
from segagent.learning.policy.train_states import made_up_mask, soft_iou_labels
from segagent.policies.embedded.network import load_network
from segagent.policies.embedded.policy import SHIPPED
from segagent.vision.encoder import Encoder
from segagent.vision.sight import FILE, packaged_encoder, save_encoder, sight_of

TINY = PolicyTraining(
    minutes=60.0,
    steps=2,
    tool="disc",
    scenes=4,
    grounding_scenes=4,
    state_scenes=6,
    held_out_scenes=3,
    rounds=1,
    episodes=3,
    episode_steps=2,
    outlined_pictures=4,
    batch_scale=0.1,
)


@pytest.mark.slow
def test_the_whole_recipe_runs_and_resumes(tmp_path: Path) -> None:
    said: list[str] = []
    encoder = tmp_path / "seen" / FILE
    encoder.parent.mkdir()
    save_encoder(Encoder(), encoder)
    tiny = replace(TINY, encoder=encoder)
    trained = train_policy(tiny, tmp_path, report=said.append)
    assert len(said) >= 5
    assert "grounding_all" in trained.measured
    card = json.loads(trained.weights.with_suffix(".json").read_text())["card"]
    assert card["measured"] == trained.measured
    load_network(trained.weights)
    steps = torch.load(tmp_path / "detector.pt", weights_only=True)["step"]
    assert steps == 2
    again = train_policy(replace(tiny, steps=3), tmp_path)
    assert torch.load(tmp_path / "detector.pt", weights_only=True)["step"] == 3
    assert again.weights == trained.weights


@pytest.mark.parametrize("start", [None, SHIPPED])
def test_a_training_that_is_given_no_encoder_sees_with_the_packaged_one(start: Path | None, tmp_path: Path) -> None:
    config = replace(TINY, start=start, photographs=(tmp_path,))  # As the shipped weights were trained.
    assert starting_network(config, tmp_path).sight is sight_of(packaged_encoder())


def test_a_stage_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def run(steps: int, *, resume: bool) -> Stage:
        torch.manual_seed(0)
        stage = Stage("toy", nn.Linear(2, 1), tmp_path, StageBudget(60.0, steps=steps), resume=resume)
        for step in stage.batches():
            stage.update(stage.network(torch.full((1, 2), float(step))).sum())
        return stage

    parts: list[tuple[int, Precision]] = [(3, "bfloat16"), (5, "float32")]
    for steps, number_format in parts:  # Gone on with on another kind of CPU.
        with computing_in(number_format):
            stage = run(steps, resume=steps > 3)
            assert stage.step == steps
            stage.log({})
    lines = [json.loads(line) for line in (tmp_path / "toy.jsonl").read_text().splitlines()]
    assert [(line["step"], line["precision"]) for line in lines] == [(3, "bfloat16"), (5, "float32")]
    assert run(1, resume=False).step == 1


def test_scenes_come_back_from_disk(tmp_path: Path) -> None:
    write_shard(tmp_path, "train", 10, count=2)
    store = SceneStore(tmp_path, "train")
    assert len(store) == 2
    scene = store[1]
    assert scene.index == 11
    assert scene.pixels.shape == (256, 256, 3)
    assert all(scene.mask(n).any() for n in range(len(scene.names)))
    assert all(0 <= e.target < len(scene.names) for e in scene.expressions)
    write_shard(tmp_path, "train", 20, count=1)
    store.refresh()
    assert [s.index for s in store] == [10, 11, 20]


def test_made_up_masks_are_masks(tmp_path: Path) -> None:
    write_shard(tmp_path, "train", 0, count=1)
    scene = SceneStore(tmp_path, "train")[0]
    rng = np.random.default_rng(0)
    areas = set()
    for _ in range(40):
        mask = made_up_mask(rng, scene, 0)
        assert mask.shape == (256, 256)
        assert mask.dtype == np.bool_
        areas.add(int(mask.sum()))
        coverage = worn_coverage(rng, scene.mask(0))
        assert coverage.min() >= 0
        assert 0.5 < coverage.max() <= 1
    assert len(areas) > 20


def test_outlines_are_matched_to_objects() -> None:
    labels = np.zeros((256, 256), np.uint8)
    labels[:64, :64], labels[128:, 128:] = 1, 2
    found = np.zeros((3, 64, 64), np.float32)
    found[0, 32:, 32:], found[1, :16, :14], found[2, 20:30, :10] = 1, 1, 1
    assert match_objects(found, labels, 2).tolist() == [1, 0, -1]


def test_soft_labels_are_distributions() -> None:
    labels = soft_iou_labels(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(labels.sum(1), torch.ones(3))
    assert labels.argmax(1).tolist() == [0, 50, 100]
