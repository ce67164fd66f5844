import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.imaging import draw_overlay


@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    color=st.tuples(*[st.integers(0, 255)] * 3),
    weight=st.integers(0, 256),
)
def test_integer_blend(seed: int, height: int, width: int, color: tuple[int, int, int], weight: int) -> None:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (height, width, 3), np.uint8)
    mask = generator.random((height, width)) < 0.5
    pixels.setflags(write=False)
    drawn = draw_overlay(pixels, mask, color, weight / 256)
    expected = np.where(
        mask[..., None], (pixels.astype(int) * (256 - weight) + np.array(color) * weight) // 256, pixels
    )
    np.testing.assert_array_equal(drawn, expected)
    assert drawn.dtype == np.uint8


def test_views_and_default() -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[::-1, ::2]
    mask = np.ones((3, 4), np.bool_).T
    np.testing.assert_array_equal(draw_overlay(pixels, mask), (pixels.astype(int) + np.array([0, 255, 0])) // 2)


def test_sizes_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        draw_overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.bool_))
    with pytest.raises(ValueError, match="alpha"):
        draw_overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.bool_), alpha=1.5)
