"""What every policy must do. Derive a test class from ``PolicyConformance`` and give it a ``make_policy`` fixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from segagent.core import Box, Click, Image, Observation, Policy, Proposal, frozen_mask

SIZES = ((1, 1), (1, 40), (37, 3), (64, 64), (255, 257), (1500, 2000))
TEXTS = ("the red mug", "", "   ", "Δοκιμή 象 🦜 \u202e!?", "word " * 300, "x" * 5000, "\x00\n\t", "<b>&amp;\\u0000")

MakePolicy: TypeAlias = Callable[[], Policy]
"""Makes a policy that has not been asked anything yet."""


def observation(height: int, width: int, text: str, *, seed: int = 0, covered: float = 0.3) -> Observation:
    """A noisy picture with a rectangular mask that covers about a share ``covered`` of it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.bool_)
    mask[: round(height * covered**0.5), : round(width * covered**0.5)] = True
    small = rng.integers(0, 256, (min(height, 64), min(width, 64), 3), np.uint8)
    tiles = (-(-height // small.shape[0]), -(-width // small.shape[1]), 1)
    return Observation(Image.of(np.tile(small, tiles)[:height, :width]), text, frozen_mask(mask))


def _plain(batches: list[list[Proposal]]) -> list[list[tuple[str, float | None]]]:
    return [[(p.text, p.predicted_iou) for p in proposals] for proposals in batches]


class PolicyConformance:
    """Every implementation of ``Policy`` passes these; ``make_policy`` is a :data:`MakePolicy`."""

    def test_no_observations_give_no_proposals(self, make_policy: MakePolicy) -> None:
        policy = make_policy()
        assert isinstance(policy.name, str)
        assert policy.name
        assert policy.propose([]) == []

    def test_proposals_are_as_many_as_asked_and_valid_at_any_size(self, make_policy: MakePolicy) -> None:
        policy = make_policy()
        for height, width in SIZES:
            for covered in (0.0, 0.3, 1.0):
                look = observation(height, width, "the red mug", covered=covered)
                for count in (1, 3):
                    (proposals,) = policy.propose([look], count, temperature=1.0, seeds=[5])
                    assert len(proposals) == count
                    for proposal in proposals:
                        if isinstance(proposal.action, Click | Box):
                            assert proposal.action.inside(height, width)
                        assert proposal.predicted_iou is None or 0 <= proposal.predicted_iou <= 1
                        assert proposal.log_prob is None or proposal.log_prob <= 1e-9
                        if proposal.tokens is not None:
                            assert proposal.log_prob is not None
                            assert abs(sum(proposal.tokens.log_probs) - proposal.log_prob) < 1e-6

    def test_no_sentence_is_an_error(self, make_policy: MakePolicy) -> None:
        assert len(make_policy().propose([observation(48, 64, text) for text in TEXTS])) == len(TEXTS)

    def test_greedy_is_deterministic_and_the_first_of_several(self, make_policy: MakePolicy) -> None:
        looks = [observation(60, 80, text, seed=n) for n, text in enumerate(TEXTS[:3])]
        greedy = _plain(make_policy().propose(looks))
        assert _plain(make_policy().propose(looks, seeds=[1, 2, 3])) == greedy
        sampled = _plain(make_policy().propose(looks, 3, temperature=1.0, seeds=[1, 2, 3]))
        assert [replies[:1] for replies in sampled] == greedy

    def test_a_seed_decides_the_samples_whatever_else_is_in_the_batch(self, make_policy: MakePolicy) -> None:
        looks = [observation(60 + n, 80, text, seed=n) for n, text in enumerate(TEXTS[:4])]
        seeds = [11, 12, 13, 14]

        def asked(looks: list[Observation], seeds: list[int]) -> list[list[tuple[str, float | None]]]:
            return _plain(make_policy().propose(looks, 4, temperature=1.0, seeds=seeds))

        together = asked(looks, seeds)
        assert asked(looks, seeds) == together
        assert [asked([look], [seed])[0] for look, seed in zip(looks, seeds, strict=True)] == together
        assert asked(looks[::-1], seeds[::-1])[::-1] == together

    def test_the_observation_is_left_as_it_was(self, make_policy: MakePolicy) -> None:
        look = observation(50, 70, "the mug")
        before = look.image.pixels.tobytes(), look.mask.tobytes(), look.text
        make_policy().propose([look, look], 2, temperature=0.7, seeds=[1, 2])
        assert (look.image.pixels.tobytes(), look.mask.tobytes(), look.text) == before
