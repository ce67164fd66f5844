import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segagent.core import decode_rle, encode_rle, frozen_mask, intersection_and_union, iou

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
pairs = hnp.array_shapes(min_dims=2, max_dims=2, max_side=12).flatmap(
    lambda shape: st.tuples(*(hnp.arrays(np.bool_, shape),) * 3)
)


@given(masks)
def test_rle_round_trip(mask):
    rle = encode_rle(mask)
    assert rle["size"] == list(mask.shape)
    decoded = decode_rle(rle)
    assert decoded.dtype == np.bool_
    assert not decoded.flags.writeable
    assert np.array_equal(decoded, mask)


def test_rle_is_the_coco_one():
    # Column-major runs 1, 2, 3 of a 2 x 3 mask, written by hand: each run below 16 is one character, 48 + run.
    mask = np.array([[0, 1, 0], [1, 0, 0]], bool)
    assert encode_rle(mask) == {"size": [2, 3], "counts": "123"}


@pytest.mark.parametrize(
    "rle",
    [
        {},
        {"size": [2, 3]},
        {"size": [2, 3], "counts": [1, 2, 3]},
        {"size": [2, 3], "counts": "12"},
        {"size": [2, 3], "counts": "1234"},
        {"size": [-2, -3], "counts": "123"},
        {"size": [2, 3], "counts": "12\x7f"},
        {"size": [2, 3], "counts": "12é"},
        {"size": ["two", 3], "counts": "123"},
        {"size": [2, 3], "counts": "o" * 40},
        {"size": [4000, 4000], "counts": "1"},
        {"size": [2, 3, 4], "counts": "123"},
    ],
)
def test_malformed_rle_is_refused(rle):
    with pytest.raises(ValueError):
        decode_rle(rle)


@given(pairs)
def test_iou_is_symmetric_and_bounded(triple):
    a, b, ignore = triple
    assert 0 <= iou(a, b) <= 1
    assert iou(a, b) == iou(b, a)
    assert iou(a, a) == 1
    assert iou(a, b, np.ones_like(a)) == 1
    kept = ~ignore
    assert intersection_and_union(a, b, ignore) == ((a & b & kept).sum(), ((a | b) & kept).sum())


def test_iou_needs_equal_sizes():
    with pytest.raises(ValueError, match="differ in size"):
        iou(np.zeros((2, 2), bool), np.zeros((2, 3), bool))


def test_frozen_mask_copies_unless_frozen():
    mask = np.ones((2, 2), bool)
    frozen = frozen_mask(mask)
    assert frozen is not mask
    assert mask.flags.writeable
    assert frozen_mask(frozen) is frozen
    with pytest.raises(ValueError, match="two axes"):
        frozen_mask(np.ones(3, bool))
