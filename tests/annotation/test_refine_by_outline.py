"""What a refine does with a policy that judges outlines without the words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import segagent
from cheap_models import Saying
from segagent.annotation.batch import Models, ObjectRecord
from segagent.core import (
    BoolMask,
    Click,
    Image,
    JudgedOutline,
    Observation,
    Proposal,
    Segmentation,
    SegmentRequest,
    frozen_mask,
    iou,
)
from segagent.imaging import encode_png, write_bytes
from segagent.policies.mending import MendingPolicy

PICTURE = np.zeros((60, 80, 3), np.uint8)
THING = np.zeros((60, 80), np.bool_)
THING[10:40, 20:60] = True
HALF = THING.copy()
HALF[:, 40:] = False
FAR = Click(75, 55, True)


def fit(mask: BoolMask) -> float:
    """How well a mask fits the thing; 0 of other pictures, which runs try their models on."""
    return iou(mask, THING) if mask.shape == THING.shape else 0.0


class Judge(Saying):
    """Takes the far corner for what is meant, sure of nothing; sees the thing's outline. Knows the words or not."""

    name = "judge"
    judges_outlines = True

    def __init__(self, doubts: Sequence[str] = ()) -> None:
        self._doubts = list(doubts)

    def says(self, look: Observation, seed: int) -> Proposal:
        return Proposal(FAR, 0.6 * fit(look.mask), None, "far")

    def judge_outline(self, image: Image, mask: BoolMask) -> JudgedOutline | None:
        return JudgedOutline(iou(mask, THING), frozen_mask(THING)) if mask.any() else None

    def doubts(self, image: Image, text: str) -> list[str]:
        return self._doubts


class WholeThing:
    """A click on the thing gives the thing, another one pixel more."""

    name = "whole thing"
    accepts_box = False
    thread_safe = True

    def embed(self, images: Sequence[Image]) -> list[object]:
        return [None] * len(images)

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        return [Segmentation(self._mask(request), None) for request in requests]

    def _mask(self, request: SegmentRequest) -> BoolMask:
        click = request.prompts[-1]
        assert isinstance(click, Click)
        if request.mask.shape == THING.shape and THING[click.y, click.x]:
            return frozen_mask(THING)
        more = np.array(request.mask)
        more[click.y, click.x] = True
        return frozen_mask(more)


class Blind(Judge):
    """The same without the weights for it."""

    judges_outlines = False


def refined(policy: Judge, mask: BoolMask, folder: Path) -> ObjectRecord:
    """The record of a refine of a data set with this one mask."""
    write_bytes(folder / "a.png", encode_png(PICTURE))
    write_bytes(folder / "mask.png", encode_png(mask))
    (folder / "manifest.json").write_text('{"samples": [{"image": "a.png", "mask": "mask.png", "text": "it"}]}')
    run = segagent.refine(str(folder), out=folder / "run", models=Models(policy, WholeThing()))
    (record,) = run.objects()
    return record


@pytest.mark.parametrize("doubts", [(), ("takes none of the objects for what is meant",)])
def test_a_better_outline_of_the_same_thing_is_taken_whatever_is_meant(doubts: tuple[str, ...], tmp_path: Path) -> None:
    record = refined(Judge(doubts), HALF, tmp_path)
    assert record.outcome == "repaired"
    assert np.array_equal(record.mask, THING)
    assert record.outline is not None
    assert (record.outline.iou, record.outline.missing, record.outline.answer_iou) == (0.5, 1.0, 1.0)


def test_without_it_the_words_decide_and_they_are_not_sure(tmp_path: Path) -> None:
    record = refined(Blind(), HALF, tmp_path)
    assert record.outcome == "kept"
    assert record.outline is None
    assert {step.action for step in record.trajectory.steps} == {FAR}
    assert not any(step.candidates for step in record.trajectory.steps)


def test_a_good_mask_is_left_alone(tmp_path: Path) -> None:
    record = refined(Judge(), THING, tmp_path)
    assert record.outcome == "kept"
    assert np.array_equal(record.mask, THING)


def test_another_thing_with_a_better_outline_is_not_taken(tmp_path: Path) -> None:
    corner = np.zeros_like(THING)
    corner[30:60, 50:80] = True  # Touches the thing; what the outline's click leads to is hardly the same.
    assert refined(Judge(), corner, tmp_path).outcome == "kept"


def test_the_mending_click_comes_last_and_only_where_more_than_one_is_wanted() -> None:
    judge = Judge()
    policy = MendingPolicy(judge, judge)
    look = Observation(Image.of(PICTURE), "it", frozen_mask(HALF))
    (alone,), (both,) = policy.propose([look]), policy.propose([look], 2)
    assert [p.action for p in alone] == [FAR]
    first, mending = both
    assert first.action == FAR
    assert isinstance(mending.action, Click)
    assert mending.action.positive
    assert (THING & ~HALF)[mending.action.y, mending.action.x]
    assert mending.predicted_iou == first.predicted_iou
    perfect = Observation(Image.of(PICTURE), "it", frozen_mask(THING))
    assert [p.action for p in policy.propose([perfect], 2)[0]] == [FAR, FAR]
