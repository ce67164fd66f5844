"""Metrics of stored trajectories: definitions, empty masks, ignored pixels, and sums that add up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import (
    Action,
    Box,
    Click,
    InvalidAction,
    Rle,
    Start,
    Step,
    Trajectory,
    Usage,
    encode_rle,
    intersection_and_union,
    iou,
)
from segagent.evaluation.bootstrap import bootstrap_ratio, bootstrap_ratios
from segagent.evaluation.measuring import Measured, MeasuredSample, Rules, measure
from segagent.evaluation.metrics import Sums, agreement
from segagent.evaluation.selection import published_state, selected_state

HEIGHT, WIDTH = 20, 30
EMPTY = np.zeros((HEIGHT, WIDTH), np.bool_)
RES = Rules("res", 3)


def block(x0: int, x1: int, y0: int = 0, y1: int = 10) -> np.ndarray:
    mask = EMPTY.copy()
    mask[y0:y1, x0:x1] = True
    return mask


TARGET = block(0, 10)


def trajectory(
    masks: list[np.ndarray],
    *,
    said: list[float | None] | None = None,
    actions: list[Action] | None = None,
    returned: int | None = None,
    parents: list[int] | None = None,
) -> Trajectory:
    """States with these masks, the first one the start; ``said`` are their predicted IoUs."""
    said = said or [None] * len(masks)
    actions = actions or [Click(5, 5, True)] * (len(masks) - 1)
    parents = parents or list(range(len(masks) - 1))
    steps = tuple(
        Step(action, "", encode_rle(mask), parent, score, invalid="odd" if isinstance(action, InvalidAction) else None)
        for action, mask, parent, score in zip(actions, masks[1:], parents, said[1:], strict=True)
    )
    start = Start("empty", encode_rle(masks[0]), said[0])
    last = len(steps) if returned is None else returned
    return Trajectory("s", "i", HEIGHT, WIDTH, "t", "p", "t", 0, start, steps, last, "max_steps")


def measured(done: Trajectory, target: np.ndarray, ignore: np.ndarray | None = None, rules: Rules = RES) -> Measured:
    left_out: Rle | None = None if ignore is None else encode_rle(ignore)
    return measure(MeasuredSample(done, encode_rle(target), left_out, 2.0), rules)


def value(found: Measured, name: str) -> float:
    return found.sums.value_of(name)


def test_a_plain_sample() -> None:
    done = trajectory([EMPTY, block(0, 5), block(0, 12)], said=[0.1, 0.6, 0.8])
    found = measured(done, TARGET)
    assert found.iou == pytest.approx(100 / 120)
    assert found.sums.sum_of("cIoU") == (100, 120)
    assert [value(found, f"IoU@{k}") for k in (1, 2, 3)] == pytest.approx([0.5, 100 / 120, 100 / 120])
    assert (value(found, "Pr@0.8"), value(found, "Pr@0.9"), value(found, "T-acc")) == (1, 0, 1)
    assert value(found, "refine gain") == pytest.approx(100 / 120 - 0.5)
    assert value(found, "seconds per accepted mask") == 2
    assert value(found, "first-click hit rate") == 1
    assert found.sums.images["i"].pairs == ((0.6, 0.5), (0.8, pytest.approx(100 / 120)))
    assert math.isnan(value(found, "N-acc"))


@pytest.mark.parametrize(
    ("mask", "target", "counts", "expected", "name", "accuracy"),
    [
        (EMPTY, EMPTY, (0, 0), 1, "N-acc", 1),
        (TARGET, EMPTY, (0, 100), 0, "N-acc", 0),
        (EMPTY, TARGET, (0, 100), 0, "T-acc", 0),
        (TARGET, TARGET, (100, 100), 1, "T-acc", 1),
    ],
)
def test_empty_masks(
    mask: np.ndarray, target: np.ndarray, counts: tuple[int, int], expected: float, name: str, accuracy: float
) -> None:
    found = measured(trajectory([EMPTY, mask]), target)
    assert found.sums.sum_of("cIoU") == counts
    assert (found.iou, value(found, "gIoU"), value(found, "bIoU")) == (expected, expected, expected)
    assert value(found, name) == accuracy
    assert found.sums.sum_of("T-acc" if name == "N-acc" else "N-acc") == (0, 0)
    if not target.any():
        assert "first-click hit rate" not in found.sums.names


def test_ignored_pixels_count_nowhere() -> None:
    ignore = block(10, 30)
    found = measured(trajectory([EMPTY, block(0, 25)]), TARGET, ignore)
    assert found.sums.sum_of("cIoU") == (100, 100)
    assert found.iou == value(found, "bIoU") == 1
    # A prediction and a target that only have ignored pixels are empty.
    nothing = measured(trajectory([EMPTY, block(12, 20)]), block(25, 30), ignore)
    assert (nothing.iou, value(nothing, "N-acc")) == (1, 1)


def test_first_clicks() -> None:
    def rate(action: Action) -> tuple[float, float]:
        return measured(trajectory([EMPTY, TARGET], actions=[action]), TARGET).sums.sum_of("first-click hit rate")

    assert rate(Click(9, 9, True)) == (1, 1)
    for miss in (Click(10, 9, True), Click(9, 9, False), Click(99, 99, True), InvalidAction("x", "odd")):
        assert rate(miss) == (0, 1)
    assert rate(Box(0, 0, 5, 5)) == (0, 0)


def test_invalid_replies_and_cost() -> None:
    done = trajectory([EMPTY, EMPTY, TARGET], actions=[InvalidAction("x", "odd"), Click(1, 1, True)])
    assert value(measured(done, TARGET), "invalid replies") == 0.5
    spent = measured(replace(done, usage=Usage(calls=3, prompt_tokens=5, completion_tokens=2)), TARGET)
    assert (value(spent, "calls"), value(spent, "tokens"), value(spent, "seconds")) == (3, 7, 2)
    assert value(measured(replace(done, num_policy_calls=4), TARGET), "calls") == 4


def test_number_of_clicks() -> None:
    rules = Rules("noc", 4, use_prm=False)
    found = measured(trajectory([EMPTY, block(0, 5), block(0, 9), block(0, 5)]), TARGET, rules=rules)
    assert [value(found, f"IoU@{k}") for k in (1, 2, 3, 4)] == pytest.approx([0.5, 0.9, 0.5, 0.5])
    assert [value(found, f"NoC@{k}") for k in (80, 85, 90, 95)] == [2, 2, 2, 4]
    assert [value(found, f"failed@{k}") for k in (80, 85, 90, 95)] == [0, 0, 0, 1]
    assert value(found, "AUC") == pytest.approx(0.6)


def test_published_selection() -> None:
    masks = [EMPTY, block(0, 2), block(0, 4), block(0, 10)]
    # Entry 2's reply (0.9) speaks of the mask after click 1, state 2; the last mask is spoken of by none.
    assert published_state(trajectory(masks, said=[0.0, 0.3, 0.9, 1.0])) == 2
    assert published_state(trajectory(masks, said=[0.0, 0.9, 0.9, 1.0])) == 1
    # The first entry has nothing before it, so its own mask is taken.
    assert published_state(trajectory(masks, said=[0.5, 0.3, 0.2, 1.0])) == 1
    # A reply without an IoU: it gives up on all of them.
    assert published_state(trajectory(masks)) == 1
    assert published_state(trajectory(masks, said=[0.0, None, 0.9, 1.0])) == 1
    assert published_state(trajectory(masks[:1])) == 0
    assert published_state(trajectory(masks[:2], said=[0.2, 0.1])) == 1
    done = trajectory(masks, said=[0.0, 0.3, 0.9, 1.0], returned=1)
    assert [selected_state(done, select) for select in ("returned", "published", "last")] == [1, 2, 3]
    found = measured(done, TARGET, rules=Rules("res", 3, "published"))
    assert (found.state, found.iou) == (2, pytest.approx(0.4))


@st.composite
def samples(draw: st.DrawFn) -> list[MeasuredSample]:
    made = []
    for _ in range(draw(st.integers(1, 8))):
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        masks = [EMPTY, *(rng.random((2, HEIGHT, WIDTH)) < rng.random())]
        target = rng.random((HEIGHT, WIDTH)) < rng.choice([0.0, 0.3, 0.9])
        said = [None, *rng.random(2).tolist()]
        done = replace(trajectory(masks, said=said), image=f"image {rng.integers(5)}")
        ignore = encode_rle(rng.random((HEIGHT, WIDTH)) < 0.2) if rng.random() < 0.5 else None
        made.append(MeasuredSample(done, encode_rle(target), ignore, 1.0))
    return made


@settings(max_examples=25, deadline=None)
@given(samples(), st.integers(1, 3))
def test_parts_add_up_and_values_are_in_bounds(judged: list[MeasuredSample], parts: int) -> None:
    each = [measure(one, RES).sums for one in judged]
    whole = Sums.total(each)
    added = Sums()
    for part in range(parts):
        added += Sums.total(each[part::parts])
    assert added.names == whole.names
    for name in whole.names:
        assert added.sum_of(name) == pytest.approx(whole.sum_of(name), rel=1e-12, nan_ok=True)
        if name not in ("seconds", "seconds per accepted mask", "refine gain"):
            assert 0 <= whole.value_of(name) <= 1
    assert added.pairs == whole.pairs
    # Split by image, as shards are, nothing differs in a single bit.
    shards = [
        Sums.total(sums for one, sums in zip(judged, each, strict=True) if one.trajectory.image[-1] in digits)
        for digits in ("024", "13")
    ]
    assert shards[1] + shards[0] == whole
    assert (shards[1] + shards[0]).intervals(num_resamples=5) == whole.intervals(num_resamples=5)
    for one, sums in zip(judged, each, strict=True):
        state = one.trajectory.returned
        counts = intersection_and_union(
            one.trajectory.mask_at(state), _decoded(one.target), None if one.ignore is None else _decoded(one.ignore)
        )
        assert sums.sum_of("cIoU") == counts


def _decoded(rle: Rle) -> np.ndarray:
    from segagent.core import decode_rle

    return decode_rle(rle)


def test_rewards_and_overlaps_agree() -> None:
    found = measured(trajectory([EMPTY, block(0, 7)]), TARGET, block(3, 5))
    assert found.iou == iou(block(0, 7), TARGET, block(3, 5))


def test_intervals_are_those_of_single_ratios() -> None:
    rng = np.random.default_rng(0)
    tops, bottoms = rng.random((40, 2)), 1 + rng.random((40, 2))
    both = bootstrap_ratios(tops, bottoms, num_resamples=2000)
    for column in range(2):
        alone = bootstrap_ratio(tops[:, column].tolist(), bottoms[:, column].tolist(), range(40))
        assert both[column].value == pytest.approx(alone.value)
        assert (both[column].low, both[column].high) == pytest.approx((alone.low, alone.high), abs=0.02)
    with pytest.raises(ValueError, match="group"):
        bootstrap_ratios(tops[:0], bottoms[:0])
    assert Sums().intervals() == {}


def test_agreement_of_predicted_and_true() -> None:
    pairs = [(0.1 * k, 0.1 * k, f"i{k}") for k in range(11)]
    found = agreement(pairs)
    assert found["predicted IoU MAE"].value == pytest.approx(0)
    assert found["Spearman"].value == pytest.approx(1)
    assert found["accepted@90"].value == pytest.approx(2 / 11)
    assert agreement([]) == {}
    off = agreement([(0.5, 0.75, "a"), (0.5, 0.25, "b")])
    assert (off["predicted IoU MAE"].value, off["predicted IoU MSE"].value) == pytest.approx((0.25, 0.0625))
