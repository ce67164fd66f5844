"""GRPO of the embedded model: the replies it differentiates are those it gives, and it goes where the reward is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from segagent.cli.main import main
from segagent.core import Click, InputError, Observation, empty_mask, frozen_mask
from segagent.datasets import open_dataset
from segagent.environment.rewards import Outcome
from segagent.learning.rl import GrpoConfig, grpo, train_grpo
from segagent.learning.rl.replies import Replies, click_at, draw_clicks, look_at, replies_to
from segagent.policies import make_policy
from segagent.policies.embedded.network import load_network
from segagent.policies.embedded.perception import perceive
from segagent.policies.embedded.policy import SHIPPED, EmbeddedPolicy
from segagent.policies.embedded.writing import reply_text, write_sampled

DATA = "scenes:3:seed=5,split=train,sentences=1"
SMALL = GrpoConfig(updates=2, questions=1, group=2, max_steps=1, tool="disc", learning_rate=1e-3, passes=1)


def test_the_replies_that_are_learnt_from_are_those_that_are_given() -> None:
    policy = EmbeddedPolicy.load()
    sample = next(iter(open_dataset(DATA)))
    image = sample.load_image()
    half = np.array(sample.load_target(image)[0])
    half[:, : image.width // 2] = False
    masks = [empty_mask(image.height, image.width), frozen_mask(half), sample.load_target(image)[0]]
    network = policy.network
    text = torch.tensor([network.vocabulary.encode(sample.text)])
    with torch.no_grad():
        said = replies_to(network, text, look_at(network, perceive(network, image), masks))
    for row, mask in enumerate(masks):
        reading = policy.read(Observation(image, sample.text, mask))
        np.testing.assert_allclose(said.sign[row].exp().numpy(), reading.sign, atol=2e-2)
        place = said.place[row].exp().numpy().reshape(reading.place.shape)
        assert np.abs(place - reading.place).sum() < 0.1
        written = write_sampled(reading, np.random.default_rng(1), 1.0)
        token = torch.tensor([[int(not written.positive), written.y * 128 + written.x]] * 3)
        assert float(said.of(token)[row]) == pytest.approx(written.log_prob, abs=0.3)
        click = click_at(token[0].tolist(), image.height, image.width)
        assert f"({click.x}, {click.y})" in reply_text(written, image.height, image.width, 128)


def test_clicks_are_drawn_as_often_as_they_are_likely() -> None:
    place = torch.full((1, 2, 128 * 128), 1e-9)
    place[0, 0, 7], place[0, 0, 900], place[0, 1, 3] = 0.75, 0.25, 1.0
    said = Replies(torch.tensor([[0.8, 0.2]]).log(), place.log(), torch.zeros(1, 101))
    rng = np.random.default_rng(0)
    drawn = [tuple(draw_clicks(said, rng)[0].tolist()) for _ in range(3000)]
    for token, share in (((0, 7), 0.6), ((0, 900), 0.2), ((1, 3), 0.2)):
        assert drawn.count(token) / 3000 == pytest.approx(share, abs=0.04)
    assert float(said.divergence(said)) == pytest.approx(0, abs=1e-5)


def test_it_goes_where_the_reward_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def negative(turn: Outcome) -> float:
        assert isinstance(turn.action, Click)
        return float(not turn.action.positive)

    monkeypatch.setattr(grpo, "reward_named", lambda words: negative)
    config = GrpoConfig(updates=8, questions=1, group=16, max_steps=1, tool="disc", learning_rate=3e-3, kl=0.0)
    data = open_dataset("scenes:1:seed=5,split=train,sentences=1")
    sample = next(iter(data))
    image = sample.load_image()
    network = load_network(SHIPPED)
    with torch.no_grad():  # Nearly never says "negative" of an empty mask, so nothing could be learnt.
        network.state.sign.bias -= network.state.sign.bias + 0.0
        network.state.sign.weight *= 0
    monkeypatch.setattr(grpo, "load_network", lambda path: network)
    train_grpo("", data, tmp_path, config)
    reading = make_policy(f"embedded:{tmp_path}").read(
        Observation(image, sample.text, empty_mask(image.height, image.width))
    )
    assert reading.sign[1] > 0.55


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path) -> None:
    data = open_dataset(DATA)
    train_grpo("", data, tmp_path / "whole", SMALL)

    class StopError(Exception):
        pass

    def stop(done: int, total: int, measured: dict[str, float]) -> None:
        raise StopError

    with pytest.raises(StopError):
        train_grpo("", data, tmp_path / "parts", SMALL, watch=stop)
    train_grpo("", data, tmp_path / "parts", SMALL)
    whole, parts = ((tmp_path / name / SHIPPED.name).read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_other_settings_and_bad_ones_are_refused(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text('{"model": "", "dataset": "x", "config": {}}')
    with pytest.raises(InputError, match="other settings"):
        train_grpo("", open_dataset(DATA), tmp_path, SMALL)
    for change in ({"group": 1}, {"updates": 0}, {"kl": -1}, {"reward": "x"}):
        with pytest.raises(InputError):
            GrpoConfig(**change)


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--updates", "1", "--questions", "1", "--group", "2", "--max-steps", "1", "--tool", "disc"]
    assert main(["train", "grpo", "embedded", DATA, "-o", str(tmp_path / "m"), *few]) == 0
    assert f"embedded:{tmp_path / 'm'}" in capsys.readouterr().out
    make_policy(f"embedded:{tmp_path / 'm'}")
