"""Strokes and polygons are the pixels that the documentation says, wherever the hand goes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.core import empty_mask, frozen_mask
from segagent.server.review.drawing import with_polygon, with_stroke

HEIGHT, WIDTH = 21, 34
COORDINATES = st.tuples(st.integers(-30, 60), st.integers(-30, 60))


@given(COORDINATES, st.integers(0, 25))
def test_a_single_point_is_a_disc(point: tuple[int, int], radius: int) -> None:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    disc = (columns - point[0]) ** 2 + (rows - point[1]) ** 2 <= radius**2
    np.testing.assert_array_equal(with_stroke(empty_mask(HEIGHT, WIDTH), [point], radius, True), disc)


@given(st.lists(COORDINATES, min_size=1, max_size=5), st.integers(0, 9))
def test_a_stroke_is_what_lies_near_its_path(points: list[tuple[int, int]], radius: int) -> None:
    margin = 80  # All of the path is drawn, also where it is far outside.
    path = np.zeros((HEIGHT + 2 * margin, WIDTH + 2 * margin), np.uint8)
    cv2.polylines(path, [np.array([*points, points[-1]], np.int32).reshape(-1, 1, 2) + margin], False, 1)
    near = np.zeros((HEIGHT, WIDTH), np.bool_)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    for y, x in np.argwhere(path) - margin:
        near |= (columns - x) ** 2 + (rows - y) ** 2 <= radius**2
    found = with_stroke(empty_mask(HEIGHT, WIDTH), points, radius, True)
    inside = all(0 <= x < WIDTH and 0 <= y < HEIGHT for x, y in points)
    # A path that leaves the picture by more than the radius is cut there, which may move it by a pixel.
    assert np.count_nonzero(found != near) <= (0 if inside else 0.2 * HEIGHT * WIDTH)


def test_a_stroke_takes_away_and_leaves_the_mask_it_was_given_alone() -> None:
    before = frozen_mask(np.ones((HEIGHT, WIDTH), np.bool_))
    after = with_stroke(before, [(3, 4), (9, 4)], 0, False)
    assert before.all()
    assert np.argwhere(~after).tolist() == [[4, x] for x in range(3, 10)]
    assert not after.flags.writeable


@pytest.mark.parametrize("far", [32_000, -32_000])
def test_what_is_far_away_draws_nothing_and_crossing_lines_draw(far: int) -> None:
    none = with_stroke(empty_mask(HEIGHT, WIDTH), [(far, far), (far, far - 7)], 1000, True)
    assert not none.any()
    across = with_stroke(empty_mask(HEIGHT, WIDTH), [(-far, 10), (far, 10)], 0, True)
    assert np.flatnonzero(across.any(axis=1)).tolist() == [10]
    assert across[10].all()


def test_a_polygon_has_its_outline() -> None:
    square = with_polygon(empty_mask(HEIGHT, WIDTH), [(2, 3), (6, 3), (6, 8), (2, 8)], True)
    assert np.argwhere(square).min(axis=0).tolist() == [3, 2]
    assert np.argwhere(square).max(axis=0).tolist() == [8, 6]
    assert square.sum() == 5 * 6
    hole = with_polygon(square, [(3, 4), (5, 4), (5, 7), (3, 7)], False)
    assert hole.sum() == 30 - 12
    bow = with_polygon(empty_mask(HEIGHT, WIDTH), [(0, 0), (10, 10), (10, 0), (0, 10)], True)
    assert bow[5, 0]
    assert not bow[0, 5]


def test_a_polygon_may_leave_the_picture() -> None:
    whole = with_polygon(
        empty_mask(HEIGHT, WIDTH), [(-32_000, -32_000), (32_000, -32_000), (32_000, 32_000), (-32_000, 32_000)], True
    )
    assert whole.all()
