"""The figures of a card on episodes that are worked out by hand."""

import numpy as np
import pytest

from segagent.core import Action, Click, Finish, InvalidAction, Start, Step, Trajectory, Usage, encode_rle
from segagent.evaluation.card.abilities import from_degraded, from_nothing, stopping
from segagent.evaluation.measuring import MeasuredSample
from segagent.search import SearchConfig
from segagent.search.stopping import shortened

HIT, MISS, ODD = Click(2, 2, True), Click(25, 2, True), InvalidAction("?", "odd")


def columns(stop: int, start: int = 0) -> np.ndarray:
    """Ten rows; the target are columns 0 to 9, so that ``columns(5)`` has an IoU of 0.5."""
    mask = np.zeros((10, 30), np.bool_)
    mask[:, start:stop] = True
    return mask


def judged(
    widths: list[int],
    said: list[float | None],
    actions: list[Action] | None = None,
    kind: str = "empty",
    target: np.ndarray | None = None,
) -> MeasuredSample:
    """States of so many columns. Each call takes a second, loading another; a call has ten tokens."""
    actions = actions or [HIT] * (len(widths) - 1)
    steps = tuple(
        Step(action, "", encode_rle(columns(width)), place, score, invalid="odd" if action is ODD else None)
        for place, (action, width, score) in enumerate(zip(actions, widths[1:], said[1:], strict=True))
    )
    calls = len(widths) - isinstance(actions[-1] if actions else None, Finish)
    done = Trajectory(
        *("s", "i", 10, 30, "t", "p", "t", 0),
        Start(kind, encode_rle(columns(widths[0])), said[0]),
        steps,
        len(steps),
        "max_steps",
        num_policy_calls=calls,
        seconds=float(calls),
        usage=Usage(calls=calls, prompt_tokens=10 * calls),
    )
    return MeasuredSample(done, encode_rle(columns(10) if target is None else target), None, calls + 1.0)


def nothing(sample: MeasuredSample, steps: int = 4) -> dict[str, float]:
    sums = from_nothing(sample, SearchConfig(steps)).sums
    return {name: sums.value_of(name) for name in sums.names}


def test_all_steps_were_used_and_a_worse_mask_was_chosen() -> None:
    found = nothing(judged([0, 5, 8, 10, 20], [0.0, 0.6, 0.9, 0.85, 0.8]))
    assert found["masks/gIoU"] == found["masks/cIoU"] == pytest.approx(0.8)
    assert found["masks/Pr@0.8"] == 1
    assert found["localisation/first-click hit rate"] == 1
    assert found["localisation/IoU after one action"] == pytest.approx(0.5)
    assert found["stopping/IoU lost"] == found["stopping/lost by choosing"] == pytest.approx(0.2)
    assert found["stopping/lost by stopping"] == 0
    assert (found["stopping/steps used"], found["stopping/steps needed"]) == (4, 3)
    assert (found["stopping/early stops"], found["stopping/late stops"]) == (0, 1)
    assert (found["cost/calls"], found["cost/tokens"], found["cost/seconds"]) == (5, 50, 6)


def test_stopped_too_early() -> None:
    made = from_nothing(judged([0, 5, 8, 10, 20], [0.0, 0.98, 0.9, 0.85, 0.8]), SearchConfig(4))
    found = {name: made.sums.value_of(name) for name in made.sums.names}
    assert (made.returned, made.stopped, made.iou) == (1, "confident", 0.5)
    assert found["masks/Pr@0.8"] == 0
    assert found["stopping/IoU lost"] == found["stopping/lost by stopping"] == 0.5
    assert found["stopping/lost by choosing"] == 0
    assert (found["stopping/early stops"], found["stopping/late stops"]) == (1, 0)
    assert found["stopping/steps used"] == 1
    # Two of five calls, and loading.
    assert (found["cost/calls"], found["cost/tokens"], found["cost/seconds"]) == (2, 20, 3)
    assert made.sums.sum_of("cost/seconds per accepted mask") == (3, 0)
    # Self-assessment is about every mask that was come to, stopped or not.
    assert sorted(made.sums.images["i"].pairs) == [(0.8, 0.5), (0.85, 1.0), (0.9, 0.8), (0.98, 0.5)]


def test_finishing_at_the_right_time_is_neither_early_nor_late() -> None:
    found = nothing(judged([0, 10, 10], [None, None, None], [HIT, Finish()]))
    assert (found["stopping/steps used"], found["stopping/steps needed"]) == (1, 1)
    assert found["stopping/early stops"] == found["stopping/late stops"] == found["stopping/IoU lost"] == 0


def test_a_mask_almost_as_good_as_the_best_was_enough() -> None:
    cut = shortened(judged([0, 5, 8], [0.1, 0.98, 0.5]).trajectory, SearchConfig(2))
    for best, early in ((0.985, 0), (0.995, 1)):
        found = stopping([0.0, 0.98, best], cut)
        assert found["IoU lost"] == pytest.approx(best - 0.98)
        assert (found["early stops"], found["late stops"]) == (early, 0)


def test_first_clicks() -> None:
    hits = [
        nothing(judged([0, 5], [None, None], [action])).get("localisation/first-click hit rate")
        for action in (HIT, MISS, Click(2, 2, False), ODD)
    ]
    assert hits == [1, 0, 0, 0]
    # A policy that takes the empty mask for right has not found the target.
    confident = nothing(judged([0, 0], [1.0, 1.0], [MISS]))
    assert (confident["localisation/first-click hit rate"], confident["masks/gIoU"]) == (0, 0)


def test_no_target() -> None:
    found = nothing(judged([0, 5], [1.0, 0.2], target=np.zeros((10, 30), np.bool_)))
    assert "localisation/first-click hit rate" not in found
    assert "localisation/IoU after one action" not in found
    assert (found["masks/gIoU"], found["stopping/early stops"], found["stopping/late stops"]) == (1, 0, 0)


def test_refinement() -> None:
    sample = judged([5, 8, 8, 4], [0.55, 0.7, 0.7, 0.9], [HIT, ODD, MISS], kind="mask")
    done = MeasuredSample(sample.trajectory, sample.target, None, 1.0)
    sums = from_degraded(done, SearchConfig(3))
    assert sums.value_of("refinement/start IoU") == 0.5
    assert sums.value_of("refinement/gain, one step") == pytest.approx(0.3)
    assert sums.value_of("refinement/gain, episode") == pytest.approx(-0.1)
    assert sums.sum_of("refinement/steps that raise it") == (1, 3)
    assert sums.value_of("refinement/made worse") == 1
    assert sums.images["i"].pairs == ((0.55, 0.5),)


def test_refinement_that_leaves_the_mask() -> None:
    for sample in (judged([5], [0.99], [], "mask"), judged([5, 5], [None, None], [Finish()], "mask")):
        sums = from_degraded(sample, SearchConfig(3))
        assert sums.value_of("refinement/gain, one step") == sums.value_of("refinement/gain, episode") == 0
        assert sums.sum_of("refinement/steps that raise it") == (0, 0)
        assert sums.value_of("refinement/made worse") == 0
