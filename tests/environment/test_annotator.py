"""The simulated annotator against a plain implementation of the rule that shares no code with it.

``golden_clicks.json`` was written by ``plain_rule`` below: brute-force squared distances in whole numbers, no library.
``python tests/environment/test_annotator.py`` writes it anew.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segagent.core import Click
from segagent.environment import next_click

GOLDEN = Path(__file__).with_name("golden_clicks.json")


def squared_distances(error):
    """Squared distance of each error pixel to the nearest pixel outside, the image's surroundings included."""
    height, width = error.shape
    padded = np.pad(error, 1)
    outside = np.argwhere(~padded) - 1
    result = np.zeros((height, width), np.int64)
    for y, x in np.argwhere(error):
        result[y, x] = ((outside - (y, x)) ** 2).sum(axis=1).min()
    return result


def plain_rule(mask, target, clicked=(), ignore=None):
    keep = np.ones_like(target) if ignore is None else ~ignore
    missed, covered = (squared_distances(e & keep) for e in (target & ~mask, mask & ~target))
    for x, y in clicked:
        missed[y, x] = covered[y, x] = 0
    positive = missed.max() > covered.max()
    depth = missed if positive else covered
    if depth.max() == 0:
        return None
    y, x = np.unravel_index(depth.argmax(), depth.shape)
    return (int(x), int(y), bool(positive))


def as_tuple(click):
    return None if click is None else (click.x, click.y, click.positive)


def cases(rng, num):
    for index in range(num):
        height, width = (int(n) for n in rng.integers(1, 22, 2))
        arrays = [rng.random((height, width)) < rng.random() for _ in range(2)]
        if index % 2:  # blobs rather than noise
            arrays = [np.kron(a[::4, ::4], np.ones((4, 4), bool))[:height, :width] for a in arrays]
        ignore = rng.random((height, width)) < 0.15 if index % 3 == 0 else None
        clicked = [(int(rng.integers(width)), int(rng.integers(height))) for _ in range(rng.integers(0, 4))]
        yield arrays[0], arrays[1], clicked, ignore


def rows(array):
    return None if array is None else ["".join("#" if v else "." for v in row) for row in array]


def from_rows(lines):
    return None if lines is None else np.array([[c == "#" for c in line] for line in lines])


def test_golden_vectors():
    entries = json.loads(GOLDEN.read_text())
    assert len(entries) == 200
    for number, entry in enumerate(entries):
        mask, target, ignore = (from_rows(entry[name]) for name in ("mask", "target", "ignore"))
        clicked = [tuple(point) for point in entry["clicked"]]
        expected = None if entry["click"] is None else tuple(entry["click"])
        assert as_tuple(next_click(mask, target, clicked, ignore)) == expected, number


@given(
    hnp.array_shapes(min_dims=2, max_dims=2, max_side=14).flatmap(
        lambda shape: st.tuples(*(hnp.arrays(np.bool_, shape),) * 3)
    ),
    st.booleans(),
)
@settings(max_examples=200)
def test_equals_the_plain_rule(arrays, with_ignore):
    mask, target, ignore = arrays
    ignore = ignore if with_ignore else None
    assert as_tuple(next_click(mask, target, (), ignore)) == plain_rule(mask, target, (), ignore)


def test_larger_shapes_equal_the_plain_rule():
    rng = np.random.default_rng(5)
    yy, xx = np.mgrid[:60, :70]
    for _ in range(10):
        mask, target = (
            ((yy - rng.integers(60)) / rng.integers(4, 30)) ** 2 + ((xx - rng.integers(70)) / rng.integers(4, 30)) ** 2
            < 1
            for _ in range(2)
        )
        mask = mask ^ (rng.random(mask.shape) < 0.02)
        clicked = []
        for _ in range(4):
            expected = plain_rule(mask, target, clicked)
            assert as_tuple(next_click(mask, target, clicked)) == expected
            if expected is None:
                break
            clicked.append(expected[:2])


def test_a_tie_is_a_negative_click():
    mask, target = np.zeros((1, 4), bool), np.zeros((1, 4), bool)
    mask[0, 3] = target[0, 0] = True
    assert next_click(mask, target) == Click(3, 0, positive=False)


def test_the_image_edge_counts_as_an_edge():
    assert next_click(np.zeros((5, 5), bool), np.ones((5, 5), bool)) == Click(2, 2, positive=True)


def test_first_in_row_major_order():
    target = np.zeros((6, 6), bool)
    target[4:, :2] = target[:2, 3:5] = True
    assert next_click(np.zeros_like(target), target) == Click(3, 0, positive=True)


def test_nothing_left():
    target = np.zeros((3, 3), bool)
    assert next_click(target, target) is None
    target[1, 1] = True
    assert next_click(np.zeros_like(target), target, [Click(1, 1, True)]) is None
    assert next_click(np.zeros_like(target), target, ignore=target) is None


def test_inputs_are_left_alone_and_sizes_checked():
    mask, target = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    next_click(mask, target, [(0, 0)], np.zeros((4, 4), bool))
    assert not mask.any()
    assert target.all()
    with pytest.raises(ValueError, match="one size"):
        next_click(mask, np.ones((4, 5), bool))


if __name__ == "__main__":
    written = []
    for mask, target, clicked, ignore in cases(np.random.default_rng(20250308), 200):
        click = plain_rule(mask, target, clicked, ignore)
        written.append(
            {"mask": rows(mask), "target": rows(target), "ignore": rows(ignore), "clicked": clicked, "click": click}
        )
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(entry) for entry in written) + "\n]\n")
