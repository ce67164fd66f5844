from __future__ import annotations

import numpy as np
import pytest

from segagent.core import BoolMask, Image
from segagent.evaluation.noc import ClickCurve, ClickTask, click_curves, mean_iou_after, number_of_clicks
from segagent.tools.fake import DiscTool


def disc(height: int, width: int, x: int, y: int, radius: float) -> BoolMask:
    rows, columns = np.ogrid[:height, :width]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def task(target: BoolMask, ignore: BoolMask | None = None) -> ClickTask:
    return ClickTask(Image.of(np.zeros((*target.shape, 3), np.uint8)), target, ignore)


def test_a_tool_that_is_right_at_once() -> None:
    curves = list(click_curves(DiscTool(radius=5), [task(disc(30, 40, 20, 15, 5))]))
    assert curves == [ClickCurve((1.0,))]
    assert mean_iou_after(curves, 20) == 1.0
    assert number_of_clicks(curves, 0.9).mean == 1


def test_failures_count_as_the_limit_and_are_counted() -> None:
    curves = [ClickCurve((0.5, 0.95)), ClickCurve((0.2, 0.3, 0.4))]
    result = number_of_clicks(curves, 0.9, max_clicks=3)
    assert (result.mean, result.num_failures, result.num_objects) == (2.5, 1, 2)
    assert number_of_clicks(curves, 0.9, max_clicks=1).num_failures == 2
    assert mean_iou_after(curves, 2) == pytest.approx(0.625)
    assert mean_iou_after(curves, 3) == pytest.approx((0.95 + 0.4) / 2)


def test_the_limit_holds() -> None:
    rng = np.random.default_rng(0)
    (curve,) = click_curves(DiscTool(radius=1), [task(rng.random((30, 30)) < 0.5)], max_clicks=4)
    assert len(curve.ious) == 4


def test_batches_change_nothing() -> None:
    tasks = [task(disc(40, 40, 10 + 3 * i, 20, 4 + i)) for i in range(5)]
    tool = DiscTool(radius=4)
    assert list(click_curves(tool, tasks, batch=1)) == list(click_curves(tool, tasks, batch=3))


def test_ignored_pixels_count_neither_for_clicks_nor_for_the_score() -> None:
    target, all_of_it = disc(30, 30, 15, 15, 3), disc(30, 30, 15, 15, 5)
    (plain,) = click_curves(DiscTool(radius=5), [task(target)], max_clicks=1)
    (ignoring,) = click_curves(DiscTool(radius=5), [task(target, all_of_it & ~target)], max_clicks=5)
    assert plain.ious[0] < 1
    assert ignoring.ious == (1.0,)


def test_stops_when_enough() -> None:
    target = disc(40, 40, 20, 20, 9) | disc(40, 40, 3, 3, 2)
    (curve,) = click_curves(DiscTool(radius=9), [task(target)], enough=0.9)
    assert len(curve.ious) == 1


def test_empty_target_is_refused() -> None:
    with pytest.raises(ValueError, match="target"):
        list(click_curves(DiscTool(), [task(np.zeros((5, 5), np.bool_))]))


def test_no_curves_are_refused() -> None:
    with pytest.raises(ValueError, match="no curves"):
        mean_iou_after([], 1)
    with pytest.raises(ValueError, match="no curves"):
        number_of_clicks([], 0.9)
