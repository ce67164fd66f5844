from pathlib import Path

import numpy as np
import pytest

from segagent.annotation import annotate_image, box_start, checked_text, refine_image, result_dict, score_mask
from segagent.core import Box, Click, Finish, Image, InputError, iou
from segagent.environment import StartSpec
from segagent.policies import CentrePolicy, ScriptedPolicy
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool


@pytest.fixture
def image() -> Image:
    return Image.of(np.zeros((30, 40, 3), np.uint8))


def some_mask(height: int = 30, width: int = 40) -> np.ndarray:
    mask = np.zeros((height, width), np.bool_)
    mask[5:10, 5:10] = True
    return mask


def test_annotating_starts_from_nothing_by_default(image: Image) -> None:
    policy = ScriptedPolicy([Click(3, 4, True), Finish()])
    trajectory = annotate_image(image, " the dot ", policy, DiscTool(), image_name="dot.png", seed=5)
    assert trajectory.text == "the dot"
    assert (trajectory.start.kind, trajectory.image, trajectory.seed) == ("empty", "dot.png", 5)
    assert not trajectory.mask_at(0).any()
    assert trajectory.mask_at(1)[4, 3]


def test_starts_are_checked(image: Image) -> None:
    policy, tool = CentrePolicy(), DiscTool()
    with pytest.raises(InputError, match=r"40 x 29 pixels, the image 40 x 30"):
        annotate_image(image, "x", policy, tool, start=StartSpec("mask", mask=some_mask(29)))
    with pytest.raises(InputError, match="0 <= X0 < X1 <= 40"):
        annotate_image(image, "x", policy, tool, start=StartSpec("box", box=Box(0, 0, 41, 3)))
    assert box_start(Box(0, 0, 40, 30), image, tool).kind == "box"


def test_refining_keeps_its_promise_or_refuses(image: Image) -> None:
    mask = some_mask()
    worse = ScriptedPolicy(["Current IoU: 60. Positive point: (1, 1)", "Current IoU: 59. Finish"])
    trajectory = refine_image(image, "x", worse, DiscTool(), mask=mask)
    assert trajectory.returned == 0
    np.testing.assert_array_equal(trajectory.mask_at(0), mask)
    with pytest.raises(InputError, match="predicts no IoU"):
        refine_image(image, "x", CentrePolicy(), DiscTool(), mask=mask)
    with pytest.raises(InputError, match="refining needs the predicted IoU"):
        refine_image(image, "x", worse, DiscTool(), SearchConfig(use_prm=False), mask=mask)


def test_score(image: Image) -> None:
    assert score_mask(image, "x", some_mask(), ScriptedPolicy(["Current IoU: 37. Finish"])) == 0.37
    with pytest.raises(InputError, match="predicts no IoU"):
        score_mask(image, "x", some_mask(), CentrePolicy())
    with pytest.raises(InputError, match="pixels, the image"):
        score_mask(image, "x", some_mask(31), ScriptedPolicy(["Current IoU: 37. Finish"]))


@pytest.mark.parametrize("text", ["", "  ", "\n", "x" * 2001, "\udc80"])
def test_text_that_cannot_be_a_sentence(text: str) -> None:
    with pytest.raises(InputError):
        checked_text(text)


def test_result_counts_clicks_up_to_the_returned_state_only(image: Image) -> None:
    policy = ScriptedPolicy(
        [
            "Current IoU: 0. Positive point: (3, 4)",
            "Current IoU: 50. Negative point: (30, 20)",
            "Current IoU: 40. Finish",
        ]
    )
    trajectory = annotate_image(image, "x", policy, DiscTool())
    result = result_dict(trajectory, Path("out"), ["careful"])
    assert result["returned_step"] == 1
    assert result["clicks"] == [{"x": 3, "y": 4, "positive": True}]
    assert result["num_steps"] == len(trajectory.steps)
    assert result["warnings"] == ["careful"]


def test_a_box_works_with_a_tool_that_takes_none() -> None:
    class NoBox(DiscTool):
        accepts_box = False  # type: ignore[assignment]

    rows, columns = np.mgrid[:60, :80]
    inside = (rows - 30) ** 2 + (columns - 40) ** 2 < 15**2
    image = Image.of(np.where(inside[..., None], (200, 30, 30), (20, 90, 40)).astype(np.uint8))
    start = box_start(Box(20, 10, 60, 50), image, NoBox())
    assert start.kind == "mask"
    assert start.mask is not None
    assert iou(start.mask, inside) > 0.8
    with pytest.raises(InputError, match="not inside"):
        box_start(Box(20, 10, 90, 50), image, NoBox())
