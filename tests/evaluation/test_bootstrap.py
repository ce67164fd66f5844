import numpy as np
import pytest

from segagent.evaluation.bootstrap import (
    bootstrap_difference,
    bootstrap_ratio,
    bootstrap_statistic,
    bootstrap_unpaired,
)


def test_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        interval = bootstrap_ratio(rng.normal(3, 1, 40), num_resamples=400, seed=trial)
        hits += interval.low <= 3 <= interval.high
    assert 175 <= hits <= 199


def test_ratio_of_sums_and_groups():
    assert bootstrap_ratio([1, 0, 3], [2, 2, 4]).value == 0.5
    values, groups = np.repeat([0.0, 1.0] * 10, 20), np.repeat(np.arange(20), 20)
    alone, grouped = bootstrap_ratio(values), bootstrap_ratio(values, groups=groups)
    assert grouped.value == alone.value == 0.5
    assert grouped.high - grouped.low > 2 * (alone.high - alone.low)


def test_needs_samples():
    with pytest.raises(ValueError, match="no samples"):
        bootstrap_ratio([])


def test_a_paired_difference_is_surer_than_two_intervals():
    rng = np.random.default_rng(1)
    hard = rng.random(60)
    first, second = hard + 0.02 + rng.normal(0, 0.01, 60), hard
    paired = bootstrap_difference((first, None), (second, None), range(60))
    apart = bootstrap_unpaired(first, second)
    assert paired.low > 0
    assert apart.low < 0 < apart.high
    assert paired.value == pytest.approx(apart.value)
    assert bootstrap_difference((hard, hard), (hard, hard), range(60)).low == 0


def test_any_statistic_by_group():
    values = np.repeat(np.arange(10.0), 3)
    interval = bootstrap_statistic(lambda rows: float(values[rows].mean()), np.repeat(np.arange(10), 3))
    assert interval.value == 4.5
    assert interval.low < 4
    assert interval.high > 5
    assert np.isnan(bootstrap_statistic(lambda rows: float("nan"), [1, 2]).low)


def test_differences_need_matching_samples():
    with pytest.raises(ValueError, match="as many"):
        bootstrap_difference(([1.0], None), ([1.0, 2.0], None), [1, 2])
    with pytest.raises(ValueError, match="no samples"):
        bootstrap_unpaired([], [1.0])
    with pytest.raises(ValueError, match="no samples"):
        bootstrap_statistic(lambda rows: 0.0, [])
