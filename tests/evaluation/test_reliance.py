import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.evaluation.evidence import MAX_PAIRS, Evidence
from segagent.evaluation.reliance import Reliance, num_bins


def one_bin(good: int, bad: int) -> Reliance:
    """Cases that all were predicted 0.8, so that there is nothing to fit but one share."""
    return Reliance.of([0.8] * (good + bad), [True] * good + [False] * bad)


def test_one_prediction_has_the_share_of_its_cases_with_half_a_case_of_each() -> None:
    assert one_bin(7, 2).chance(np.array([0.8])) == pytest.approx([7.5 / 10])
    assert one_bin(20, 0).chance(np.array([0.1, 0.8, 1.0])) == pytest.approx([20.5 / 21] * 3)


def test_two_bins_by_hand() -> None:
    # Ten cases at 0.2, four of them good; ten at 0.6, nine of them good: two bins, read off in between.
    reliance = Reliance.of([0.2] * 10 + [0.6] * 10, [True] * 4 + [False] * 6 + [True] * 9 + [False])
    low, high = 4.5 / 11, 9.5 / 11
    assert reliance.chance(np.array([0.0, 0.2, 0.4, 0.6, 0.9])) == pytest.approx(
        [low, low, (low + high) / 2, high, high]
    )


def test_bins_out_of_order_count_as_one() -> None:
    reliance = Reliance.of([0.2] * 10 + [0.6] * 10, [True] * 9 + [False] + [True] * 5 + [False] * 5)
    assert reliance.chance(np.array([0.2, 0.6])) == pytest.approx([14.5 / 21] * 2)


def test_the_line_by_hand() -> None:
    reliance = Reliance.of([0.2] * 10 + [0.6] * 10, [True] * 4 + [False] * 6 + [True] * 9 + [False])
    predicted = np.array([0.2, 0.6, 0.6, 0.2])
    mean = (2 * 9.5 / 11 + 2 * 4.5 / 11) / 4
    assert reliance.threshold(predicted, mean - 0.001) == 0.2
    assert reliance.threshold(predicted, mean + 0.001) == 0.6
    assert reliance.threshold(predicted, 9.5 / 11 + 0.001) is None
    assert reliance.threshold(np.array([]), 0.1) is None
    assert reliance.share_good(predicted).value == pytest.approx(mean)


def test_cases_that_weigh_less_leave_more_open() -> None:
    heavy = one_bin(80, 20)
    light = Reliance(heavy.predicted, heavy.good, np.full(100, 0.1), heavy.image)
    assert light.chance(np.array([0.8])) == pytest.approx([8.5 / 11])
    many = np.full(5000, 0.8)
    narrow, wide = heavy.share_good(many), light.share_good(many)
    # Beta(80.5, 20.5), and Beta(8.5, 2.5), whose 95 % intervals are these.
    assert (narrow.low, narrow.high) == pytest.approx((0.714, 0.869), abs=0.01)
    assert (wide.low, wide.high) == pytest.approx((0.493, 0.955), abs=0.02)


def test_cases_of_one_image_leave_more_open_than_others() -> None:
    good = [True] * 80 + [False] * 20
    apart = Reliance.of([0.8] * 100, good).share_good(np.full(5000, 0.8))
    together = Reliance.of([0.8] * 100, good, [row // 10 for row in range(100)]).share_good(np.full(5000, 0.8))
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_few_masks_have_luck_of_their_own() -> None:
    known = one_bin(8000, 2000)
    assert known.share_good(np.full(5, 0.8)).low == pytest.approx(0.4)
    assert known.share_good(np.full(5000, 0.8)).low > 0.78
    with pytest.raises(ValueError, match="no masks"):
        known.share_good(np.array([]))


def test_cases_must_fit_together_and_count_for_something() -> None:
    with pytest.raises(ValueError, match="nothing is known"):
        Reliance.of([], [])
    with pytest.raises(ValueError, match="for each case"):
        Reliance.of([0.5], [True, False])
    assert [num_bins(cases) for cases in (3, 29, 199, 5000)] == [1, 2, 19, 20]


cases = st.lists(
    st.tuples(st.integers(0, 100), st.booleans(), st.floats(0.01, 1), st.integers(0, 9)), min_size=1, max_size=80
)
run = st.lists(st.integers(0, 100), min_size=1, max_size=50)


@settings(max_examples=150, deadline=None)
@given(cases, run, st.floats(0.05, 0.99))
def test_the_line_is_the_lowest_that_keeps_the_promise(rows, run, target) -> None:
    said, good, weight, image = zip(*rows, strict=True)
    reliance = Reliance(
        np.array(said) / 100, np.array(good), np.array(weight, np.float64), np.array(image), num_draws=20
    )
    predicted = np.array(run) / 100
    grid = reliance.chance(np.linspace(0, 1, 101))
    assert (np.diff(grid) >= -1e-12).all()
    assert (grid > 0).all()
    assert (grid < 1).all()
    line = reliance.threshold(predicted, target)
    for value in np.unique(predicted):
        promise = reliance.share_good(predicted[predicted >= value])
        keeps = promise.value >= target - 1e-9
        assert keeps == (line is not None and value >= line) or abs(promise.value - target) < 1e-9
        assert 0 <= promise.low <= promise.high <= 1
    assert reliance.threshold(predicted, target) == line
    higher = reliance.threshold(predicted, min(target + 0.1, 0.999))
    assert higher is None or (line is not None and higher >= line)


@settings(max_examples=30, deadline=None)
@given(cases, st.randoms(use_true_random=False))
def test_the_order_of_cases_does_not_matter(rows, random) -> None:
    grid = np.linspace(0, 1, 21)

    def chance(rows) -> np.ndarray:
        said, good, weight, image = zip(*rows, strict=True)
        return Reliance(np.array(said) / 100, np.array(good), np.array(weight), np.array(image)).chance(grid)

    shuffled = random.sample(rows, len(rows))
    np.testing.assert_allclose(chance(rows), chance(shuffled), atol=1e-9)


@pytest.mark.parametrize("num_cases", [50, pytest.param(400, marks=pytest.mark.slow)])
def test_the_promise_holds_on_fresh_masks(num_cases: int) -> None:
    """Of 60 pairs of known cases and fresh masks from one distribution: the real share lies in the interval."""
    inside, promised, real = [], [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)

        def drawn(number: int, rng: np.random.Generator = rng) -> tuple[np.ndarray, np.ndarray]:
            said = np.round(rng.beta(6, 1.2, number), 2)
            return said, rng.random(number) < 1 / (1 + np.exp(-12 * (said - 0.75)))

        known = Reliance.of(*drawn(num_cases))
        said, good = drawn(400)
        line = known.threshold(said, 0.85)
        if line is not None:
            promise = known.share_good(said[said >= line])
            share = good[said >= line].mean()
            inside.append(promise.low <= share <= promise.high)
            promised.append(promise.value)
            real.append(share)
    assert len(inside) >= 40
    # 95 % are promised; 87 % of 40 would come about once in 30 times if that is what it is.
    assert np.mean(inside) >= 0.87
    assert np.mean(real) == pytest.approx(np.mean(promised), abs=0.03)


def test_evidence_is_stored_and_thinned_final_masks_first() -> None:
    rng = np.random.default_rng(0)
    size = MAX_PAIRS + 200
    final = rng.random(size) < 0.1
    one = Evidence.of(
        rng.random(size).round(6), rng.random(size).round(6), [f"{n // 7}.png" for n in range(size)], final
    )
    thin = one.thinned()
    assert len(thin) == MAX_PAIRS
    assert sum(thin.final) == sum(one.final) == len(one.only_final())
    assert thin == one.thinned()
    assert set(zip(thin.predicted, thin.true, thin.image, strict=True)) <= set(
        zip(one.predicted, one.true, one.image, strict=True)
    )
    assert thin.thinned(2000) == thin
    assert Evidence.from_dict(thin.to_dict()) == thin


@pytest.mark.parametrize(
    "data",
    [
        [],
        {"predicted": [0.5]},
        {"predicted": [0.5], "true": [1.5], "image": [0], "final": [1]},
        {"predicted": [0.5], "true": [0.5, 0.6], "image": [0], "final": [1]},
        {"predicted": ["x"], "true": [0.5], "image": [0], "final": [1]},
        {"predicted": [float("nan")], "true": [0.5], "image": [0], "final": [1]},
    ],
)
def test_damaged_evidence_is_refused(data) -> None:
    with pytest.raises(ValueError, match=r"evidence|could not convert"):
        Evidence.from_dict(data)
