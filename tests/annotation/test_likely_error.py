"""The likely error and the audit's order, of records written by hand."""

import numpy as np
import pytest

from segagent.annotation.batch import ObjectRecord, audit_score, likely_error
from segagent.annotation.batch.records import SeenOutline
from segagent.core import Action, BoolMask, Click, Finish, InvalidAction, Step, Trajectory, encode_rle
from segagent.core.trajectory import Start


def box(x0: int, x1: int) -> BoolMask:
    """Columns x0 to x1 - 1 of rows 5 to 24, in 30 x 100 pixels."""
    mask = np.zeros((30, 100), np.bool_)
    mask[5:25, x0:x1] = True
    return mask


GIVEN = box(20, 60)
NONSENSE = InvalidAction("?", "no click")
ADD, TAKE = Click(70, 10, True), Click(50, 10, False)


def record(
    *steps: tuple[Action, BoolMask, float | None],
    given: BoolMask = GIVEN,
    given_iou: float | None = 0.5,
    outcome: str = "audited",
    returned: int = 0,
    doubts: tuple[str, ...] = (),
    outline: SeenOutline | None = None,
) -> ObjectRecord:
    made = tuple(
        Step(action, "", encode_rle(mask), index, predicted, None, None, "no" if action == NONSENSE else None)
        for index, (action, mask, predicted) in enumerate(steps)
    )
    start = Start("mask", encode_rle(given), given_iou)
    trajectory = Trajectory("a", "a.png", 30, 100, "the box", "p", "t", 0, start, made, returned, "max_steps")
    return ObjectRecord("a", outcome, trajectory, doubts=doubts, outline=outline)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("label", "step", "calibrated"),
    [
        ("ok", (TAKE, box(20, 50), 0.95), 0.95),
        ("ok", (Finish(), GIVEN, 0.5), 0.5),
        ("ok", (ADD, box(20, 70), 0.4), 0.7),
        ("wrong object", (ADD, box(65, 80), 0.9), 0.1),
        ("wrong object", (TAKE, box(20, 50), 0.1), 0.1),
        ("missing part", (ADD, box(20, 70), 0.8), 0.7),
        ("missing part", (ADD, box(20, 70), 0.4), 0.5),
        ("spill", (TAKE, box(20, 50), 0.8), 0.7),
        ("rough edge", (ADD, box(25, 70), 0.8), 0.7),
        ("rough edge", (TAKE, box(15, 50), 0.8), 0.7),
        ("cannot tell", (NONSENSE, GIVEN, 0.5), 0.5),
        ("unknown", (ADD, box(20, 70), None), None),
        ("unknown", (Finish(), GIVEN, None), None),
        # More than half of the mask goes or comes: that is no edge.
        ("missing part", (ADD, box(25, 85), 0.8), 0.5),
        ("spill", (TAKE, box(15, 38), 0.8), 0.5),
        ("wrong object", (ADD, box(45, 95), 0.8), 0.5),
        # What the click did, not what it was meant for.
        ("spill", (ADD, box(20, 50), 0.8), 0.5),
        ("spill", (TAKE, GIVEN, 0.8), 0.5),
    ],
)
def test_labels(label: str, step: tuple[Action, BoolMask, float | None], calibrated: float | None) -> None:
    found = likely_error(record(step, given_iou=0.1 if calibrated == 0.1 else 0.5), calibrated)
    assert found.label == label
    assert found.reason


def test_what_the_policy_scores_low_is_another_object_whatever_its_own_low_masks_were_worth() -> None:
    spoiled = record((ADD, box(20, 70), 0.4), given_iou=0.1)
    assert {likely_error(spoiled, calibrated).label for calibrated in (0.1, 0.3, 0.55)} == {"wrong object"}


def test_an_empty_mask_is_missing_whoever_says_so() -> None:
    empty = np.zeros((30, 100), np.bool_)
    assert likely_error(record(given=empty), 0.95).label == "missing part"
    assert likely_error(record(given=empty, given_iou=None, doubts=("sees nothing",)), None).label == "missing part"


def test_without_a_next_click_a_mask_was_not_looked_at_unless_its_score_is_high() -> None:
    assert likely_error(record(), 0.95).label == "ok"
    for calibrated in (0.1, 0.5, 0.89):
        found = likely_error(record(), calibrated)
        assert (found.label, "no next click" in found.reason) == ("not looked at", True)
    assert likely_error(record(given_iou=None), None).label == "unknown"


def test_a_policy_with_doubts_cannot_tell_whatever_it_clicks_and_scores() -> None:
    for step, calibrated, label in (
        ((ADD, box(65, 80), 0.9), 0.1, "wrong object"),
        ((TAKE, box(20, 50), 0.1), 0.7, "ok"),
        ((ADD, box(20, 70), 0.9), 0.95, "ok"),
        ((ADD, box(25, 70), 0.8), 0.7, "rough edge"),
    ):
        given_iou = 0.1 if calibrated == 0.1 else 0.5
        assert likely_error(record(step, given_iou=given_iou), calibrated).label == label
        doubted = record(step, given_iou=given_iou, doubts=("sees nothing",))
        assert likely_error(doubted, calibrated).label == "cannot tell"


def test_a_repaired_mask_is_spoken_of_as_it_was_given() -> None:
    steps = (ADD, box(20, 70), 0.6), (TAKE, box(20, 65), 0.97)
    assert likely_error(record(*steps, outcome="repaired", returned=2), 0.5).label == "missing part"


def test_of_an_annotated_object_the_answer_is_judged_by_what_was_tried_from_it() -> None:
    steps = (ADD, box(20, 70), 0.7), (TAKE, box(20, 50), 0.72)
    made = record(*steps, given=np.zeros((30, 100), np.bool_), outcome="made", returned=1)
    assert likely_error(made, 0.7).label == "spill"
    assert audit_score(made) == pytest.approx(0.7 - 0.02)


def test_of_masks_thought_equally_good_the_one_that_a_click_betters_comes_first() -> None:
    better, same, worse = (audit_score(record((ADD, box(20, 70), after))) for after in (0.9, 0.5, 0.1))
    assert better is not None
    assert same is not None
    assert better < same == worse == 0.5
    assert audit_score(record()) == 0.5
    assert audit_score(record(given_iou=None)) is None


@pytest.mark.parametrize(
    ("label", "missing", "spill"),
    [("missing part", 0.5, 0.1), ("spill", 0.1, 0.5), ("spill", 0.0, 0.3), ("rough edge", 0.3, 0.25)],
)
@pytest.mark.parametrize("doubts", [(), ("does not know 'ocelot'",)])
def test_a_bad_outline_is_named_whatever_is_meant(
    label: str, missing: float, spill: float, doubts: tuple[str, ...]
) -> None:
    seen = SeenOutline(0.5, missing, spill)
    # What the words make of it, another object, does not matter: the outline is bad of anything.
    spoiled = record((ADD, box(65, 80), 0.9), given_iou=0.1, doubts=doubts, outline=seen)
    found = likely_error(spoiled, 0.1)
    assert found.label == label
    assert "0.50" in found.reason


def test_a_good_outline_leaves_the_words_to_judge() -> None:
    seen = SeenOutline(0.9, 0.02, 0.02)
    assert likely_error(record((ADD, box(65, 80), 0.9), given_iou=0.1, outline=seen), 0.1).label == "wrong object"
    doubting = record((ADD, box(65, 80), 0.9), doubts=("sees nothing",), outline=seen)
    assert likely_error(doubting, 0.5).label == "cannot tell"


def test_what_is_seen_of_an_outline_is_kept_with_the_record() -> None:
    written = record(outline=SeenOutline(0.51234, 0.2, 0.0, 0.9)).to_dict()
    assert written["outline"] == {"iou": 0.5123, "missing": 0.2, "spill": 0.0, "answer_iou": 0.9}
    assert ObjectRecord.from_dict(written).outline == SeenOutline(0.5123, 0.2, 0.0, 0.9)
    assert "outline" not in record().to_dict()
    with pytest.raises(ValueError, match="outline"):
        ObjectRecord.from_dict({**written, "outline": {"iou": None}})


def test_of_masks_scored_alike_the_one_with_the_worse_outline_comes_first() -> None:
    scores = [audit_score(record(outline=SeenOutline(value, 0.0, 0.0))) for value in (0.4, 0.9)]
    assert scores == pytest.approx([0.6, 0.725])
    assert audit_score(record()) == pytest.approx(0.5)
