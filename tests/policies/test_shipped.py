from __future__ import annotations

import pytest

from segagent.core import Click, Image, Observation, Policy, empty_mask, frozen_mask
from segagent.datasets.scenes import Scene, SceneConfig, generate_scene, scene_rng
from segagent.policies import make_policy
from segagent.policies.embedded.policy import EmbeddedPolicy


@pytest.fixture(scope="module")
def shipped() -> Policy:
    return make_policy("embedded")


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [generate_scene(scene_rng("test", 0, n), SceneConfig(size=256)) for n in range(16)]


def first_click_hits(policy: Policy, scenes: list[Scene]) -> float:
    """Share of sentences whose object the first click lies on."""
    looks, masks = [], []
    for scene in scenes:
        for expression in scene.expressions[:2]:
            looks.append(Observation(Image.of(scene.image), expression.text, empty_mask(256, 256)))
            masks.append(scene.objects[expression.target].mask)
    actions = [proposals[0].action for proposals in policy.propose(looks)]
    hits = [isinstance(a, Click) and a.positive and bool(m[a.y, a.x]) for a, m in zip(actions, masks, strict=True)]
    return sum(hits) / len(hits)


def test_the_shipped_policy_beats_clicking_the_centre(shipped: Policy, scenes: list[Scene]) -> None:
    assert first_click_hits(shipped, scenes) > first_click_hits(make_policy("centre"), scenes) + 0.3


def test_the_predicted_iou_tells_the_object_from_another(shipped: Policy, scenes: list[Scene]) -> None:
    right, wrong = [], []
    for scene in scenes:
        if len(scene.objects) < 2:
            continue
        expression = scene.expressions[0]
        for thing in scene.objects:
            look = Observation(Image.of(scene.image), expression.text, frozen_mask(thing.mask))
            ((proposal,),) = shipped.propose([look])
            assert proposal.predicted_iou is not None
            (right if thing.index == expression.target else wrong).append(proposal.predicted_iou)
    assert sum(right) / len(right) > sum(wrong) / len(wrong) + 0.2


def test_an_empty_mask_is_known_to_be_worthless(shipped: Policy, scenes: list[Scene]) -> None:
    look = Observation(Image.of(scenes[0].image), scenes[0].expressions[0].text, empty_mask(256, 256))
    ((proposal,),) = shipped.propose([look])
    assert proposal.predicted_iou is not None
    assert proposal.predicted_iou < 0.2


def test_every_word_of_the_generator_is_known(shipped: Policy, scenes: list[Scene]) -> None:
    assert isinstance(shipped, EmbeddedPolicy)
    texts = [e.text for scene in scenes for e in scene.expressions]
    assert not any(shipped.unknown_words(text) for text in texts)
    assert shipped.unknown_words("the zorblaxian flibbertigibbet") == ["zorblaxian", "flibbertigibbet"]
