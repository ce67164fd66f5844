"""The process reward model: what it is shown, how it is kept, and that weights without it answer as before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from segagent.core import Image, Observation, WeightsError, empty_mask, iou
from segagent.policies.embedded.network import PolicyNetwork, load_network, save_network
from segagent.policies.embedded.policy import SHIPPED, EmbeddedPolicy
from segagent.policies.embedded.prm import NUM_EVIDENCE, JoinedHead, Prm
from segagent.policies.embedded.quality import CELLS, FINE, MARGIN, QualityNet, coverage_at
from segagent.policies.embedded.regions import covered, looked_at, spread_out
from segagent.policies.embedded.state_head import NUM_IOU
from segagent.vision.encoder import CHANNELS, Encoder, Pyramid
from segagent.vision.sight import FILE, save_encoder, sight_of

PICTURE = Image.of(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8))
MASK = np.zeros((90, 120), np.bool_)
MASK[20:60, 30:80] = True


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A network with an encoder and no process reward model, untrained."""
    torch.manual_seed(0)
    save_encoder(Encoder(), tmp_path / FILE)
    network = PolicyNetwork(load_network(SHIPPED).architecture, sight_of(tmp_path / FILE)).eval()
    save_network(tmp_path / "policy.safetensors", network, {})
    return tmp_path / "policy.safetensors"


def test_an_untrained_head_says_what_the_words_say() -> None:
    mixed = torch.rand(3, NUM_IOU).softmax(1)
    said = JoinedHead().eval()(torch.randn(3, NUM_EVIDENCE), mixed, torch.rand(3, NUM_IOU).softmax(1)).softmax(1)
    assert torch.allclose(said, mixed, atol=1e-3)


def test_weights_keep_their_process_reward_model(weights: Path, tmp_path: Path) -> None:
    network = load_network(weights)
    assert network.prm is None
    look = Observation(PICTURE, "the dog", MASK)
    without = EmbeddedPolicy(network)
    assert not without.judges_outlines
    assert without.judge_outline(PICTURE, MASK) is None
    before = without.read(look).iou
    network.prm = Prm().eval()
    torch.nn.init.normal_(network.prm.joined.out.weight)
    (tmp_path / "more").mkdir()
    save_network(tmp_path / "more" / "policy.safetensors", network, {})
    found = EmbeddedPolicy.load(tmp_path / "more")
    after = found.read(look).iou
    assert np.abs(after - before).max() > 1e-3
    assert after.sum() == pytest.approx(1)
    assert found.judges_outlines
    # An empty mask has no outline to judge: of it the words alone speak, as before.
    nothing = replace(look, mask=empty_mask(90, 120))
    assert found.judge_outline(PICTURE, nothing.mask) is None
    assert np.allclose(found.read(nothing).iou, EmbeddedPolicy(load_network(weights)).read(nothing).iou, atol=1e-3)


def test_a_reward_head_of_before_is_dropped_where_it_changed_nothing(weights: Path) -> None:
    tensors = load_file(weights)
    neutral = {"reward.out.weight": torch.zeros(NUM_IOU, 64), "reward.trust": torch.ones(())}
    save_file({**tensors, **neutral}, weights)
    load_network(weights)
    save_file({**tensors, **neutral, "reward.out.weight": torch.ones(NUM_IOU, 64)}, weights)
    with pytest.raises(WeightsError, match="reward head"):
        load_network(weights)


def test_of_the_mask_only_a_hint_reaches_the_new_outline() -> None:
    torch.manual_seed(0)
    net = QualityNet().eval()
    sides = [48, 24, 12, 6]
    seen = Pyramid(torch.empty(0), *(torch.randn(1, c, s, s) for c, s in zip(CHANNELS[1:], sides, strict=True)))
    coarse = torch.zeros(1, FINE, FINE)
    coarse[:, 16:64, 24:72] = 1
    fine = coarse.clone()  # The same share of every cell of 8 x 8, at other places.
    fine[:, 16:24, 24:72] = 0
    fine[:, 16:24:2, 24:72] = 1
    same = coarse.clone()
    same[:, 16:20, 24:72] = 0
    assert torch.equal(net(seen, fine).outline, net(seen, same).outline)
    assert not torch.equal(net(seen, fine).iou, net(seen, same).iou)
    assert not torch.equal(net(seen, coarse).outline, net(seen, fine).outline)


@pytest.mark.parametrize("scale", [1, 3])
def test_what_a_look_sees_goes_back_to_its_place(scale: int) -> None:
    mask = np.kron(MASK, np.ones((scale, scale), np.bool_))
    coverage = coverage_at(mask, (90, 120))
    square = looked_at((90, 120), coverage, MARGIN)
    inside = covered(coverage, (90, 120), square, CELLS)
    back = spread_out(inside, (90, 120), square, (mask.shape[0], mask.shape[1]))
    assert back.shape == mask.shape
    assert iou(back > 0.5, mask) > 0.95
