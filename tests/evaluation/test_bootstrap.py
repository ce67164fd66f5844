import numpy as np
import pytest

from segagent.evaluation.bootstrap import bootstrap_ratio


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
