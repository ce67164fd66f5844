"""Recorded results and trained weights depend on every random draw of these functions."""

import json
import zlib
from collections.abc import Callable

import numpy as np
import pytest

from segagent.core import BoolMask
from segagent.datasets.corruption import corrupt
from segagent.datasets.faults import blotted, damaged, degraded, faulty_probabilities

Way = Callable[[BoolMask, np.random.Generator], object]

OTHER = np.zeros((64, 64), np.bool_)
OTHER[2:14, 3:20] = True
WAYS: dict[str, tuple[Way, int, int]] = {
    "degraded": (degraded, 51387, 1165763595),
    "faulty probabilities": (faulty_probabilities, 41673, 1685575863),
    "damaged": (damaged, 44222, 4127083449),
    "blot": (lambda mask, rng: blotted(mask, rng, add=True), 57216, 1280846524),
    "bite": (lambda mask, rng: blotted(mask, rng, add=False), 34743, 1280846524),
    "corrupt": (lambda mask, rng: corrupt(mask, [OTHER], rng, share=0.9).mask, 39227, 534324843),
}
"""Each with the pixels of 40 of its masks together, and a checksum of what its generators draw next."""


@pytest.mark.parametrize("name", WAYS)
def test_the_same_seeds_give_the_same_masks_as_ever(name: str) -> None:
    way, pixels, checksum = WAYS[name]
    rows, columns = np.mgrid[:64, :64]
    target = ((rows - 30) ** 2 / 2 + (columns - 36) ** 2 < 200) | ((rows > 40) & (columns > 50))
    areas, draws = [], []
    for seed in range(40):
        rng = np.random.default_rng([seed, 5])
        areas.append(float(np.sum(way(target, rng))))
        draws.append(int(rng.integers(2**32)))
    assert zlib.crc32(json.dumps(draws).encode()) == checksum
    # OpenCV's versions may differ in a pixel of a resized mask.
    assert sum(areas) == pytest.approx(pixels, abs=20)
