from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from segagent.policies.embedded.reading import Reading
from segagent.policies.embedded.writing import draw, mean_iou, reply_text, tempered, write_greedy, write_sampled


def reading(side: int = 3) -> Reading:
    rng = np.random.default_rng(1)
    place = rng.random((2, side, side)) ** 3
    iou = rng.random(101)
    return Reading(
        np.array([0.7, 0.3]), place / place.sum((1, 2), keepdims=True), iou / iou.sum(), np.array([0.0, 1.0])
    )


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampled_tokens_follow_the_conditionals(temperature: float) -> None:
    given, num = reading(), 20_000
    rng = np.random.default_rng(0)
    counts = Counter((w.positive, w.x, w.y) for w in (write_sampled(given, rng, temperature) for _ in range(num)))
    signs = tempered(given.sign, temperature)
    statistic = 0.0
    for sign in (0, 1):
        columns = tempered(given.place[sign].sum(0), temperature)
        for x in range(3):
            rows = tempered(given.place[sign][:, x] / given.place[sign][:, x].sum(), temperature)
            for y in range(3):
                expected = num * signs[sign] * columns[x] * rows[y]
                statistic += (counts[sign == 0, x, y] - expected) ** 2 / expected
    assert statistic < 40.8  # chi-square, 17 degrees of freedom, p = 0.001


def test_log_prob_is_that_of_the_joint_map() -> None:
    given = reading()
    rng = np.random.default_rng(3)
    for written in [write_greedy(given), *(write_sampled(given, rng, 1.0) for _ in range(50))]:
        sign = 0 if written.positive else 1
        assert written.log_prob == pytest.approx(np.log(given.sign[sign] * given.place[sign, written.y, written.x]))


def test_the_iou_token() -> None:
    given = reading()
    assert write_greedy(given).iou == mean_iou(given.iou)
    rng = np.random.default_rng(0)
    said = [write_sampled(given, rng, 1.0, iou_decoding="sample").iou for _ in range(4000)]
    assert np.mean(said) == pytest.approx(given.iou @ np.arange(101), abs=2.0)
    assert {write_sampled(given, rng, 1.0).iou for _ in range(20)} == {mean_iou(given.iou)}


def test_low_temperature_is_the_mode_and_certainty_stays() -> None:
    rng = np.random.default_rng(0)
    assert {draw(rng, np.array([0.2, 0.5, 0.3]), 1e-3) for _ in range(50)} == {1}
    assert {draw(rng, np.array([0.0, 1.0, 0.0]), 2.0) for _ in range(50)} == {1}


def test_places_fall_inside_any_image() -> None:
    given = reading()
    for height, width in ((1, 1), (2, 3), (1500, 2000)):
        for _ in range(10):
            text = reply_text(write_sampled(given, np.random.default_rng(0), 1.0), height, width, 3)
            x, y = (int(part) for part in text.split("(")[1].rstrip(")").split(", "))
            assert 0 <= x < width
            assert 0 <= y < height
