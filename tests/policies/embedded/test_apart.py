"""Candidates that differ: other objects that might be meant first, then places that are not near one another."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segagent.core import Diverse, Observation, empty_mask
from segagent.datasets import open_dataset
from segagent.policies.embedded.policy import EmbeddedPolicy


@pytest.fixture(scope="module")
def policy() -> EmbeddedPolicy:
    return EmbeddedPolicy.load()


@pytest.fixture(scope="module")
def observation() -> Observation:
    sample = next(iter(open_dataset("scenes:1:seed=5,split=train,sentences=1")))
    image = sample.load_image()
    return Observation(image, sample.text, empty_mask(image.height, image.width))


def test_the_first_is_greedy_and_none_is_near_another(policy: EmbeddedPolicy, observation: Observation) -> None:
    assert isinstance(policy, Diverse)
    (greedy,) = policy.propose([observation])[0]
    for apart in (0.05, 0.2):
        (made,) = policy.propose_apart([observation], 4, apart, temperature=1.0, seeds=[3])
        assert made[0] == greedy
        assert len(made) == 4
        side = observation.image.width
        places = [(p.action.x, p.action.y) for p in made if p.action.positive]  # type: ignore[union-attr]
        distances = [np.hypot(a - c, b - d) for i, (a, b) in enumerate(places) for c, d in places[:i]]
        assert min(distances, default=1e9) >= apart * side - 3
    assert made == policy.propose_apart([observation], 4, 0.2, temperature=1.0, seeds=[3])[0]
    assert policy.propose_apart([observation], 4, 0.2, seeds=[3])[0][0] == greedy


def test_objects_that_might_be_meant_come_before_other_places(
    policy: EmbeddedPolicy, observation: Observation, monkeypatch: pytest.MonkeyPatch
) -> None:
    percept = policy._percept(observation.image)
    assert len(percept.tokens) >= 3
    score = policy.network.grounding.score
    with torch.no_grad():  # Every object is as likely: nothing but order tells them apart.
        monkeypatch.setattr(score, "weight", torch.nn.Parameter(torch.zeros_like(score.weight), requires_grad=False))
    (made,) = policy.propose_apart([observation], 3, 0.02, temperature=1.0, seeds=[0])
    grid = percept.coverage.shape[-1]
    on = [
        int(percept.coverage[:, p.action.y * grid // observation.image.height,  # type: ignore[union-attr]
                             p.action.x * grid // observation.image.width].argmax())  # type: ignore[union-attr]
        for p in made
    ]  # fmt: skip
    assert len(set(on)) == 3
