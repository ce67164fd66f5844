"""Label Studio's brush encoding: known streams, round trips, and the real library where it is installed."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segagent.annotation.interop.brush_rle import decode_brush, encode_brush

masks = arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


def test_known_streams() -> None:
    # Made by label_studio_sdk 2.1.2 (converter.brush.mask2rle), its padding left off.
    assert encode_brush(np.array([[True, False], [False, True]])) == [
        0, 0, 0, 16, 57, 27, 252, 127, 243, 128, 71, 254,
    ]  # fmt: skip


@given(masks)
def test_round_trip(mask: np.ndarray) -> None:
    stream = encode_brush(mask)
    assert (decode_brush(stream, *mask.shape) == mask).all()


def test_long_runs() -> None:
    mask = np.zeros((300, 301), np.bool_)
    mask[100:290] = True
    assert (decode_brush(encode_brush(mask), 300, 301) == mask).all()


@given(arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(4))))
def test_reads_what_a_browser_writes(values: np.ndarray) -> None:
    """Single values in literal runs, as of a canvas with soft edges: what counts is the opacity."""
    flat = values.ravel()
    bits = f"{flat.size:032b}" + "00111" + "0010001101111111"
    for begin in range(0, flat.size, 16):
        part = flat[begin : begin + 16]
        bits += "0" + "01" + f"{part.size - 1:04b}" + "".join(f"{value:08b}" for value in part)
    bits += "0" * (-len(bits) % 8)
    stream = [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]
    height, width = values.shape[:2]
    assert (decode_brush(stream, height, width) == (values[:, :, 3] > 127)).all()


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ("text", "list of bytes"),
        ([1, 2, 256], "list of bytes"),
        ([True], "list of bytes"),
        ([], "ends in the middle"),
        ([0, 0, 0, 16, 57, 27, 252, 227], "ends in the middle"),
        ([0, 0, 0, 20, 57, 27, 252, 227, 252, 231, 0, 199, 248], "20 values"),
        ([255, 255, 255, 255, 57, 27, 252], "4294967295 values"),
    ],
)
def test_damaged_streams_are_refused(stream: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_brush(stream, 2, 2)


@given(st.lists(st.integers(0, 255), max_size=60))
def test_noise_raises_nothing_else(stream: list[int]) -> None:
    with contextlib.suppress(ValueError):
        decode_brush([0, 0, 0, 16, 57, 27, 252, *stream], 2, 2)


def test_the_real_library_reads_it() -> None:
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    mask = np.random.default_rng(1).random((37, 53)) < 0.3
    assert (brush.decode_rle(encode_brush(mask)).reshape(37, 53, 4)[:, :, 3] == mask * 255).all()
