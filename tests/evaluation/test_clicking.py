"""The simulated annotator's episodes for the number-of-clicks protocol."""

from __future__ import annotations

import numpy as np
import pytest

from segagent.core import BoolMask, Image
from segagent.environment import Episode, Target
from segagent.evaluation.clicking import click_trajectories
from segagent.tools.fake import DiscTool


def disc(height: int, width: int, x: int, y: int, radius: float) -> BoolMask:
    rows, columns = np.ogrid[:height, :width]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def ious(tool: DiscTool, *targets: Target, max_clicks: int = 20, enough: float = 1.0) -> list[list[float | None]]:
    episodes = [Episode(Image.of(np.zeros((*one.mask.shape, 3), np.uint8)), "it") for one in targets]
    made = click_trajectories(episodes, targets, tool, max_clicks=max_clicks, enough=enough)
    return [[step.reward for step in one.steps] for one in made]


def test_a_tool_that_is_right_at_once() -> None:
    assert ious(DiscTool(radius=5), Target(disc(30, 40, 20, 15, 5))) == [[1.0]]


def test_the_limit_holds() -> None:
    rng = np.random.default_rng(0)
    (found,) = ious(DiscTool(radius=1), Target(rng.random((30, 30)) < 0.5), max_clicks=4)
    assert len(found) == 4


def test_objects_together_are_as_alone() -> None:
    targets = [Target(disc(40, 40, 10 + 3 * i, 20, 4 + i)) for i in range(5)]
    tool = DiscTool(radius=4)
    assert ious(tool, *targets) == [ious(tool, one)[0] for one in targets]


def test_ignored_pixels_count_neither_for_clicks_nor_for_the_score() -> None:
    target, all_of_it = disc(30, 30, 15, 15, 3), disc(30, 30, 15, 15, 5)
    (plain,) = ious(DiscTool(radius=5), Target(target), max_clicks=1)
    assert plain == [pytest.approx(target.sum() / all_of_it.sum())]
    assert ious(DiscTool(radius=5), Target(target, all_of_it & ~target), max_clicks=5) == [[1.0]]


def test_stops_when_enough() -> None:
    target = disc(40, 40, 20, 20, 9) | disc(40, 40, 3, 3, 2)
    (found,) = ious(DiscTool(radius=9), Target(target), enough=0.9)
    assert len(found) == 1


def test_a_target_without_a_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="without a single pixel"):
        ious(DiscTool(), Target(np.zeros((5, 5), np.bool_)))
