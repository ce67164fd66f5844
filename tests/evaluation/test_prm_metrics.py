import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.evaluation.calibration import Calibration, expected_calibration_error, fit_calibration, reliability
from segagent.evaluation.filtering import accepted_share, filtering_metrics

fractions = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60)


@given(fractions)
def test_a_calibration_is_monotone_bounded_and_survives_json(pairs):
    predicted, true = zip(*pairs, strict=True)
    calibration = fit_calibration(predicted, true)
    values = [calibration(p) for p in np.linspace(0, 1, 50)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(values))
    assert 0 <= min(values) <= max(values) <= 1
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


def test_what_is_scored_lower_than_any_fitted_mask_is_expected_to_be_worth_little() -> None:
    calibration = fit_calibration([0.4] * 20 + [0.9] * 20, [0.5] * 20 + [0.95] * 20)
    assert (calibration(0.0), calibration(0.4), calibration(0.9)) == pytest.approx((0.0, 0.5, 0.95))
    assert calibration(0.1) == pytest.approx(0.125)
    assert fit_calibration([0.0] * 20 + [0.9] * 20, [0.2] * 20 + [0.9] * 20)(0.0) == pytest.approx(0.2)


def test_calibration_removes_a_planted_bias():
    rng = np.random.default_rng(0)
    true = rng.random(4000)
    predicted = np.sqrt(true)
    calibration = fit_calibration(predicted[:2000], true[:2000])
    corrected = [calibration(p) for p in predicted[2000:]]
    before = expected_calibration_error(predicted[2000:], true[2000:])
    after = expected_calibration_error(corrected, true[2000:])
    assert before > 0.1
    assert after < 0.02


def test_equal_predictions_do_not_depend_on_their_order():
    predicted, true = [0.5] * 30 + [0.9] * 30, list(np.linspace(0, 1, 60))
    shuffled = np.random.default_rng(0).permutation(60)
    again = fit_calibration([predicted[i] for i in shuffled], [true[i] for i in shuffled])
    assert np.allclose(fit_calibration(predicted, true).expected, again.expected)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"predicted": [0.1], "expected": []},
        {"predicted": [0.2, 0.1], "expected": [0, 1]},
        {"predicted": [0.1, 0.2], "expected": [1, 0]},
        {"predicted": [], "expected": []},
        {"predicted": ["a"], "expected": [1]},
        {"predicted": [0.1], "expected": [7]},
    ],
)
def test_damaged_calibration_is_refused(data):
    with pytest.raises(ValueError, match="damaged"):
        Calibration.from_dict(data)


def test_reliability_by_hand():
    bins = reliability([0.05, 0.07, 0.95, 1.0], [0.0, 0.2, 1.0, 0.8])
    assert [(b.low, b.count) for b in bins] == [(0.0, 2), (0.9, 2)]
    assert bins[0].mean_true == pytest.approx(0.1)
    assert expected_calibration_error([0.05, 0.07, 0.95, 1.0], [0.0, 0.2, 1.0, 0.8]) == pytest.approx(0.0575)


def test_filtering_metrics_by_hand():
    metrics = filtering_metrics([0.9, 0.5, 0.1], [1.0, 0.5, 0.3])
    assert metrics.mae == pytest.approx(10)
    assert metrics.mse == pytest.approx((100 + 0 + 400) / 3)
    assert metrics.spearman == pytest.approx(1)
    assert metrics.pearson == pytest.approx(np.corrcoef([0.9, 0.5, 0.1], [1.0, 0.5, 0.3])[0, 1])
    assert json.dumps(metrics.to_dict())


def test_constant_predictions_have_no_correlation():
    assert np.isnan(filtering_metrics([0.5, 0.5], [0.1, 0.9]).pearson)


def test_accepted_share():
    predicted, true = [0.9, 0.8, 0.7, 0.6], [1.0, 0.95, 0.2, 0.95]
    assert accepted_share(predicted, true, threshold=0.9, precision=0.95) == 0.5
    assert accepted_share(predicted, true, threshold=0.9, precision=0.75) == 1.0
    assert accepted_share(predicted, true, threshold=0.99, precision=0.95) == 0.25
    assert accepted_share([0.5, 0.5], [1.0, 0.0], threshold=0.9, precision=0.95) == 0.0


@given(fractions)
def test_a_stricter_precision_never_accepts_more(pairs):
    predicted, true = zip(*pairs, strict=True)
    shares = [accepted_share(predicted, true, threshold=0.8, precision=p) for p in (0.5, 0.8, 0.95, 1.0)]
    assert shares == sorted(shares, reverse=True)


def test_nothing_to_measure_is_an_error():
    for function in (filtering_metrics, fit_calibration, reliability):
        with pytest.raises(ValueError, match="at least one"):
            function([], [])


def test_doubted_masks_have_a_curve_of_their_own_where_there_is_one():
    plain = Calibration((0.0, 1.0), (0.0, 1.0))
    both = Calibration(plain.predicted, plain.expected, Calibration((0.0, 1.0), (0.0, 0.5)))
    assert (plain(0.8), plain(0.8, True)) == (0.8, 0.8)
    assert (both(0.8), both(0.8, True)) == pytest.approx((0.8, 0.4))
    assert Calibration.from_dict(json.loads(json.dumps(both.to_dict()))) == both
    assert "doubted" not in plain.to_dict()  # As files and runs of before have it.
    for damaged in ({"predicted": [0.1], "expected": [7]}, [0.5], "x"):
        with pytest.raises(ValueError, match="damaged"):
            Calibration.from_dict({**plain.to_dict(), "doubted": damaged})
