"""A process reward model with weights of its own: what it learns from, that it may disagree, and resuming."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from segagent.core import InputError, Observation
from segagent.datasets import open_dataset
from segagent.environment import Target
from segagent.learning.prm import PrmConfig, train, train_own_prm
from segagent.learning.prm.rows import JudgedRows, judge_rows, rows_about
from segagent.learning.prm.train import OwnJudge, _loss
from segagent.policies import make_policy
from segagent.policies.embedded.network import PolicyNetwork, load_network
from segagent.policies.embedded.policy import SHIPPED, EmbeddedPolicy
from segagent.policies.embedded.reading import predicted_iou
from segagent.tools import make_tool

DATA = "scenes:1:seed=5,split=train,sentences=1"
SMALL = PrmConfig(max_steps=1, steps=3, batch_size=4, distractors=2, corrupted=6, clicked=1, tool="disc")


@pytest.fixture(scope="module")
def network() -> PolicyNetwork:
    return load_network(SHIPPED)


@pytest.fixture(scope="module")
def rows(network: PolicyNetwork) -> JudgedRows:
    sample = next(iter(open_dataset(DATA)))
    made = rows_about(np.random.default_rng(0), network, make_tool("disc"), sample, 0, SMALL)
    assert made is not None
    return made


def test_rows_hold_the_policys_masks_other_things_and_corrupted_ones(rows: JudgedRows) -> None:
    assert len(rows.iou) >= 4
    assert float(rows.iou.min()) < 0.1  # A good mask of another thing.
    assert float(rows.iou.max()) > 0.5


def test_it_judges_as_the_policy_does_until_it_has_learnt(network: PolicyNetwork, rows: JudgedRows) -> None:
    """The batched arithmetic that it is trained with is that of the policy's own reading."""
    assert network.prm is not None
    sample = next(iter(open_dataset(DATA)))
    image = sample.load_image()
    target = Target(*sample.load_target(image))
    found = EmbeddedPolicy(network).examine(Observation(image, sample.text, target.mask))
    mean = predicted_iou(network, found).double() @ torch.arange(101).double() / 100
    with torch.no_grad():
        logits = judge_rows(network.grounding, network.prm.joined, rows)
    means = logits.softmax(1).double() @ torch.arange(101).double() / 100
    exact = [n for n, truth in enumerate(rows.iou.tolist()) if truth == 1.0]
    assert exact
    for number in exact:
        assert float(means[number]) == pytest.approx(float(mean), abs=0.02)
    assert float(means.min()) < float(mean) - 0.2


def test_it_comes_to_disagree_with_the_policy(network: PolicyNetwork, rows: JudgedRows) -> None:
    assert network.prm is not None
    judge = OwnJudge(network, network.prm.joined).eval().requires_grad_(True)
    twisted = rows._replace(iou=1 - rows.iou)  # What is right is wrong: only weights of its own can say so.
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)
    first = float(_loss(judge(twisted), twisted).detach())
    for _ in range(15):
        optimizer.zero_grad()
        _loss(judge(twisted), twisted).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert float(_loss(judge(twisted), twisted).detach()) < first - 0.5
    moved = {n for n, p in judge.grounding.named_parameters() if not torch.equal(p, network.grounding.state_dict()[n])}
    assert moved


def test_the_model_keeps_its_clicks_and_gets_a_judge_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = train_own_prm("", open_dataset(DATA), tmp_path, SMALL)
    assert trained.spec == f"embedded:{tmp_path}"
    held_out = json.loads((tmp_path / "prm.json").read_text())["held_out"]
    assert held_out["after"]["loss"] <= held_out["before"]["loss"]
    made = make_policy(trained.spec)
    assert isinstance(made, EmbeddedPolicy)
    before, after = load_network(SHIPPED).state_dict(), made.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("prm."))
    assert any(name.startswith("prm.grounding.") for name in after)
    sample = next(iter(open_dataset(DATA)))
    image = sample.load_image()
    target, _ = sample.load_target(image)
    (proposal,) = made.propose([Observation(image, sample.text, target)])[0]
    assert proposal.predicted_iou is not None
    monkeypatch.setattr(train, "load_network", lambda path: pytest.fail("a finished one is not made again"))
    assert train_own_prm("", open_dataset(DATA), tmp_path, SMALL) == trained
    with pytest.raises(InputError, match="other settings"):
        train_own_prm("", open_dataset(DATA), tmp_path, PrmConfig(steps=5))


def test_settings_that_mean_nothing_are_refused() -> None:
    for change in ({"steps": 0}, {"corrupted": -1}, {"held_out": 1.0}, {"learning_rate": 0.0}):
        with pytest.raises(InputError):
            PrmConfig(**change)
