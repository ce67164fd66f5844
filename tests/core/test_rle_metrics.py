import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from segagent.core import Rle, encode_rle, intersection_and_union
from segagent.core.rle import rle_areas, rle_iou, rle_overlaps, run_ends, without
from segagent.evaluation.boundary import boundary_distance, boundary_iou, boundary_region


def encode_ends(mask: np.ndarray) -> np.ndarray:
    """The ends of a bool mask (height, width)."""
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.append(changes, flat.size).astype(np.int64)
    return np.concatenate([[0], ends]) if flat.size and flat[0] else ends


@st.composite
def masks(draw: st.DrawFn, number: int) -> list[np.ndarray]:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for _ in range(number):
        kind = draw(st.sampled_from(["noise", "empty", "full", "block"]))
        mask = np.zeros((height, width), np.bool_)
        if kind == "noise":
            mask = rng.random((height, width)) < rng.random()
        elif kind == "full":
            mask[:] = True
        elif kind == "block":
            y, x = sorted(rng.integers(0, height + 1, 2)), sorted(rng.integers(0, width + 1, 2))
            mask[y[0] : y[1], x[0] : x[1]] = True
        made.append(mask)
    return made


@settings(max_examples=150, deadline=None)
@given(st.lists(masks(3), min_size=1, max_size=5), st.booleans())
def test_overlaps_equal_decoded_ones_and_pycocotools(triples: list[list[np.ndarray]], ignoring: bool) -> None:
    first, second, ignore = ([encode_rle(triple[i]) for triple in triples] for i in range(3))
    intersections, unions = rle_overlaps(first, second, ignore if ignoring else None)
    for number, (a, b, left_out) in enumerate(triples):
        expected = intersection_and_union(a, b, left_out if ignoring else None)
        assert (intersections[number], unions[number]) == expected
        if a.any() or b.any():
            theirs = coco_mask.iou(
                [{**first[number], "counts": first[number]["counts"].encode()}],
                [{**second[number], "counts": second[number]["counts"].encode()}],
                [0],
            )[0, 0]
            assert rle_iou([first[number]], [second[number]])[0] == pytest.approx(theirs, abs=1e-9)
        np.testing.assert_array_equal(run_ends(first[number]), encode_ends(a))
        np.testing.assert_array_equal(without(encode_ends(a), encode_ends(b)), encode_ends(a & ~b))
    np.testing.assert_array_equal(rle_areas(first), [a.sum() for a, _, _ in triples])


def test_empty_masks_agree() -> None:
    nothing = encode_rle(np.zeros((4, 5), np.bool_))
    something = encode_rle(np.eye(4, 5, dtype=np.bool_))
    assert rle_iou([nothing, nothing], [nothing, something]).tolist() == [1.0, 0.0]
    assert rle_overlaps([], [])[0].size == 0


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 5], "counts": "x"},
        {"size": [4, 5], "counts": "d0é"},
        {"size": [4, 5], "counts": " "},
        {"size": [4, 5], "counts": "1"},
        {"size": [4, 5], "counts": "P" * 13},
        {"size": [4, 5], "counts": "P" * 14 + "0"},
        {"size": [4], "counts": "1"},
        {"size": [-4, -5], "counts": "d0"},
        {"size": [4, 5]},
        {"size": [4, 5], "counts": [20]},
    ],
)
def test_malformed_encodings(rle: Rle) -> None:
    with pytest.raises(ValueError, match="RLE"):
        run_ends(rle)
    with pytest.raises(ValueError):
        rle_overlaps([encode_rle(np.zeros((4, 5), np.bool_))], [encode_rle(np.zeros((5, 4), np.bool_))])


def test_boundary_of_a_square() -> None:
    mask = np.zeros((50, 60), np.bool_)
    mask[10:30, 10:30] = True
    band = boundary_region(mask, 3)
    assert band.sum() == 20 * 20 - 14 * 14
    assert not band[13:27, 13:27].any()
    # The image's edge is an outline too.
    assert boundary_region(np.ones((20, 20), np.bool_), 2).sum() == 20 * 20 - 16 * 16
    assert boundary_distance(480, 640) == 16
    assert boundary_distance(3, 3) == 1


def test_boundary_iou_rules() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[20:60, 20:60] = True
    nothing = np.zeros_like(mask)
    assert boundary_iou(mask, mask) == 1
    assert boundary_iou(nothing, nothing) == 1
    assert boundary_iou(nothing, mask) == 0
    shifted = np.roll(mask, 2, axis=1)
    assert 0 < boundary_iou(shifted, mask) < 1600 / 1680
    # Where both agree apart from ignored pixels, their outlines agree too.
    assert boundary_iou(shifted, mask, mask ^ shifted) == 1


@settings(max_examples=40, deadline=None)
@given(masks(2))
def test_boundary_region_is_the_definition(two: list[np.ndarray]) -> None:
    mask = two[0]
    rows, columns = np.nonzero(~np.pad(mask, 1))
    for distance in (1, 3):
        band = boundary_region(mask, distance)
        for y, x in zip(*np.nonzero(mask), strict=True):
            near = np.maximum(abs(rows - y - 1), abs(columns - x - 1)).min() <= distance
            assert band[y, x] == near
