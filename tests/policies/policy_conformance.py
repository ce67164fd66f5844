"""What every policy owes its callers, whatever it is made of. Call :func:`check_policy` with a way to make one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from segagent.core import Box, Click, Image, Observation, Policy, Proposal, frozen_mask

SIZES = ((1, 1), (1, 40), (37, 3), (64, 64), (255, 257), (1500, 2000))
TEXTS = ("the red mug", "", "   ", "Δοκιμή 象 🦜 \u202e!?", "word " * 300, "x" * 5000, "\x00\n\t", "<b>&amp;\\u0000")


def observation(height: int, width: int, text: str, *, seed: int = 0, covered: float = 0.3) -> Observation:
    """A noisy picture with a rectangular mask that covers about a share ``covered`` of it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.bool_)
    mask[: round(height * covered**0.5), : round(width * covered**0.5)] = True
    small = rng.integers(0, 256, (min(height, 64), min(width, 64), 3), np.uint8)
    tiles = (-(-height // small.shape[0]), -(-width // small.shape[1]), 1)
    return Observation(Image.of(np.tile(small, tiles)[:height, :width]), text, frozen_mask(mask))


def check_policy(make: Callable[[], Policy]) -> None:
    """Run the whole suite."""
    check_shape_and_validity(make())
    check_odd_texts(make())
    check_greedy_is_deterministic(make)
    check_seeds(make)
    check_observation_is_untouched(make())


def _plain(batches: list[list[Proposal]]) -> list[list[tuple[str, float | None]]]:
    return [[(p.text, p.predicted_iou) for p in proposals] for proposals in batches]


def check_shape_and_validity(policy: Policy) -> None:
    """One list per observation with the right count; clicks inside; IoU in 0..1; any image size."""
    assert policy.name
    assert policy.propose([]) == []
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


def check_odd_texts(policy: Policy) -> None:
    """No sentence is an error."""
    assert len(policy.propose([observation(48, 64, text) for text in TEXTS])) == len(TEXTS)


def check_greedy_is_deterministic(make: Callable[[], Policy]) -> None:
    """Temperature 0 says the same each time; above 0 the first reply is that one still."""
    looks = [observation(60, 80, text, seed=n) for n, text in enumerate(TEXTS[:3])]
    greedy = _plain(make().propose(looks))
    assert _plain(make().propose(looks, seeds=[1, 2, 3])) == greedy
    sampled = _plain(make().propose(looks, 3, temperature=1.0, seeds=[1, 2, 3]))
    assert [replies[:1] for replies in sampled] == greedy


def check_seeds(make: Callable[[], Policy]) -> None:
    """A seed decides the samples, whatever else is in the batch."""
    looks = [observation(60 + n, 80, text, seed=n) for n, text in enumerate(TEXTS[:4])]
    seeds = [11, 12, 13, 14]
    together = _plain(make().propose(looks, 4, temperature=1.0, seeds=seeds))
    assert _plain(make().propose(looks, 4, temperature=1.0, seeds=seeds)) == together
    alone = [_plain(make().propose([o], 4, temperature=1.0, seeds=[s]))[0] for o, s in zip(looks, seeds, strict=True)]
    assert alone == together
    backwards = _plain(make().propose(looks[::-1], 4, temperature=1.0, seeds=seeds[::-1]))
    assert backwards[::-1] == together


def check_observation_is_untouched(policy: Policy) -> None:
    """Picture and mask keep their bytes."""
    look = observation(50, 70, "the mug")
    before = look.image.pixels.tobytes(), look.mask.tobytes(), look.text
    policy.propose([look, look], 2, temperature=0.7, seeds=[1, 2])
    assert (look.image.pixels.tobytes(), look.mask.tobytes(), look.text) == before
