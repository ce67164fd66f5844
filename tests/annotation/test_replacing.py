"""When a refine replaces a given mask, rule by rule."""

from collections.abc import Sequence

import numpy as np
import pytest
from made_runs import HEIGHT, WIDTH, square

from segagent.annotation.batch import Models, RunConfig
from segagent.annotation.batch.records import SeenOutline
from segagent.annotation.batch.replacing import replaces
from segagent.core import (
    BoolMask,
    Click,
    Image,
    Segmentation,
    SegmentRequest,
    Start,
    Step,
    Trajectory,
    encode_rle,
)
from segagent.evaluation.calibration import Calibration
from segagent.policies import ScriptedPolicy
from segagent.tools.fake import DiscTool

GIVEN, SAME, OTHER = square(10, 10, 10), square(11, 10, 10), square(25, 25, 10)


class Drawing(DiscTool):
    """Outlines the same whatever it is told."""

    def __init__(self, drawn: BoolMask) -> None:
        super().__init__()
        self._drawn = drawn

    def segment(self, requests: Sequence[SegmentRequest]) -> list[Segmentation]:
        return [Segmentation(self._drawn, None)] * len(requests)


def decided(
    given: float,
    predicted: float,
    outlines: tuple[float, float] | None,
    *,
    answer: BoolMask = SAME,
    doubts: tuple[str, ...] = (),
    calibration: Calibration | None = None,
    returned: int = 1,
    drawn: BoolMask | None = None,
) -> bool:
    trajectory = Trajectory(
        sample_id="a",
        image="a.png",
        height=HEIGHT,
        width=WIDTH,
        text="it",
        policy="p",
        tool="t",
        seed=0,
        start=Start("mask", encode_rle(GIVEN), given),
        steps=(Step(Click(12, 12, True), "+", encode_rle(answer), 0, predicted),),
        returned=returned,
        stopped="max_steps",
    )
    seen = None if outlines is None else SeenOutline(outlines[0], 0.0, 0.0, outlines[1])
    image = Image.of(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    models = Models(ScriptedPolicy([]), Drawing(SAME if drawn is None else drawn), calibration)
    return replaces(trajectory, image, doubts, seen, models, RunConfig("refine"))


@pytest.mark.parametrize("answer", [SAME, OTHER])
def test_by_the_words_alone_where_nobody_judges_outlines(answer: BoolMask) -> None:
    assert decided(0.5, 0.95, None, answer=answer)
    assert not decided(0.5, 0.95, None, answer=answer, doubts=("sees nothing",))
    assert not decided(0.8, 0.95, None, answer=answer)
    assert not decided(0.5, 0.85, None, answer=answer)
    assert not decided(0.5, 0.95, None, answer=answer, calibration=Calibration((0.0, 1.0), (0.0, 0.9)))
    assert not decided(0.5, 0.95, None, answer=answer, returned=0)


def test_another_thing_takes_the_place_only_of_what_is_surely_wrong() -> None:
    for outlines in ((0.9, 0.9), (0.4, 0.95)):
        assert decided(0.3, 0.95, outlines, answer=OTHER, drawn=GIVEN)  # The tool knows nothing of what is meant.
        assert not decided(0.4, 0.95, outlines, answer=OTHER)
        assert not decided(0.3, 0.95, outlines, answer=OTHER, doubts=("sees nothing",))
        assert not decided(0.3, 0.85, outlines, answer=OTHER)
    assert decided(0.4, 0.95, (0.9, 0.9))  # Of the same thing the words are believed.


def test_a_surely_better_outline_of_the_same_thing_whatever_is_said() -> None:
    doubts = ("sees nothing",)
    assert decided(0.5, 0.51, (0.6, 0.9), doubts=doubts)
    assert not decided(0.5, 0.51, (0.75, 0.9), doubts=doubts)
    assert not decided(0.5, 0.51, (0.4, 0.8), doubts=doubts)
    assert not decided(0.5, 0.51, (0.4, 0.95), doubts=doubts, answer=OTHER)


@pytest.mark.parametrize(("given", "predicted", "outlines"), [(0.5, 0.95, (0.9, 0.9)), (0.5, 0.51, (0.6, 0.9))])
def test_of_the_same_thing_the_tool_has_a_say(given: float, predicted: float, outlines: tuple[float, float]) -> None:
    assert decided(given, predicted, outlines)
    assert not decided(given, predicted, outlines, drawn=GIVEN)
    assert not decided(given, predicted, outlines, drawn=OTHER)
    assert decided(given, predicted, None, drawn=GIVEN) == (predicted > 0.9)
