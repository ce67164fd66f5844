"""Spoiled masks: what is said of them is true, the same seed spoils the same way, clean ones are untouched."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.cli.main import main
from segagent.core import InputError, iou
from segagent.datasets import open_dataset
from segagent.datasets.corrupted import TRUTH_FILE, Spoiling, read_truth, write_corrupted
from segagent.datasets.corruption import CORRUPTED_BELOW, KINDS, STRENGTH, corrupt, spoil

SCENES = "scenes:4:split=val,seed=3,complexity=simple"


@st.composite
def blobs(draw: st.DrawFn) -> np.ndarray:
    """A rectangle and a disc, somewhere in 48 x 64 pixels."""
    rows, columns = np.ogrid[:48, :64]
    top, left = draw(st.integers(0, 40)), draw(st.integers(0, 56))
    mask = np.zeros((48, 64), np.bool_)
    mask[top : top + draw(st.integers(1, 25)), left : left + draw(st.integers(1, 25))] = True
    y, x, radius = draw(st.integers(0, 47)), draw(st.integers(0, 63)), draw(st.integers(0, 12))
    return mask | ((rows - y) ** 2 + (columns - x) ** 2 < radius**2)


@given(blobs(), st.lists(blobs(), max_size=3), st.integers(0, 2**32), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_what_is_said_of_a_spoiled_mask_is_true(mask, others, seed, share) -> None:
    before = mask.copy()
    made = corrupt(mask, others, np.random.default_rng(seed), share=share)
    again = corrupt(mask, others, np.random.default_rng(seed), share=share)
    assert (made.kind, made.iou) == (again.kind, again.iou)
    assert np.array_equal(made.mask, again.mask)
    assert np.array_equal(mask, before)
    assert made.iou == iou(made.mask, mask)
    assert made.mask.any()
    assert (made.kind == "clean") == np.array_equal(made.mask, mask)
    assert made.kind == "clean" or made.iou < CORRUPTED_BELOW
    if made.kind in ("swap", "wrong object"):
        assert any(np.array_equal(made.mask, other) for other in others)


@given(blobs(), st.lists(blobs(), max_size=2), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_share_decides(mask, others, seed) -> None:
    assert corrupt(mask, others, np.random.default_rng(seed), share=0).kind == "clean"
    spoiled = corrupt(mask, others, np.random.default_rng(seed), share=1)
    if spoiled.kind == "clean":  # only where nothing can be done
        assert mask.all() or not any(other.any() for other in others) or mask.sum() < 60


def disc(y: int, x: int, radius: int) -> np.ndarray:
    rows, columns = np.ogrid[:120, :160]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.mark.parametrize("seed", range(5))
def test_each_kind_does_what_its_name_says(seed: int) -> None:
    mask, near, far = disc(60, 50, 25), disc(60, 90, 10), disc(20, 145, 8)

    def of(kind: str) -> np.ndarray:
        made = spoil(kind, mask, [far, near], np.random.default_rng(seed))  # type: ignore[arg-type]
        assert made is not None
        return made

    assert not (mask & ~of("dilate")).any()
    assert not (of("erode") & ~mask).any()
    assert not (of("cut") & ~mask).any()
    assert np.array_equal(of("swap"), near)
    assert np.array_equal(of("merge"), near | mask)
    assert any(np.array_equal(of("wrong object"), other) for other in (near, far))
    low, high = STRENGTH
    for kind in ("dilate", "erode", "cut", "shift"):
        assert low - 0.05 < iou(of(kind), mask) <= high
    assert abs(int(of("shift").sum()) - int(mask.sum())) == 0
    assert spoil("swap", mask, [mask, disc(60, 51, 25)], np.random.default_rng(seed)) is None


def test_the_folder_reads_as_any_other_and_keeps_ids_texts_and_pictures(tmp_path: Path) -> None:
    source = open_dataset(SCENES)
    counts, failures = write_corrupted(tmp_path, source, Spoiling(share=0.6, per_image=3, max_images=3, seed=5))
    assert not failures
    made, truth = open_dataset(str(tmp_path)), read_truth(tmp_path)
    originals = {sample.sample_id: sample for sample in source}
    assert sum(counts.values()) == len(list(made)) == len(truth)
    assert set(counts) <= set(KINDS)
    assert made.num_images == 3
    for group in made.groups():
        assert len(group.samples()) <= 3
        assert len({truth[s.sample_id].mask.tobytes() for s in group.samples()}) == len(group.samples())
    for sample in made:
        original, true = originals[sample.sample_id], truth[sample.sample_id]
        assert (sample.text, sample.category) == (original.text, original.category)
        assert np.array_equal(sample.load_image().pixels, original.load_image().pixels)
        assert np.array_equal(true.mask, original.load_target()[0])
        assert true.iou == iou(sample.load_target()[0], true.mask)
        assert (true.kind == "clean") == np.array_equal(sample.load_target()[0], true.mask)


def test_the_command_writes_the_same_again_and_other_seeds_differ(tmp_path: Path, capsys) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert main(["corrupt", SCENES, "-o", str(tmp_path / name), "--seed", str(seed), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / name)
    truths = [(tmp_path / name / TRUTH_FILE).read_bytes() for name in "abc"]
    assert truths[0] == truths[1] != truths[2]


def test_refusals(tmp_path: Path, capsys) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("x")
    assert main(["corrupt", SCENES, "-o", str(tmp_path / "full")]) == 2
    assert "holds something" in capsys.readouterr().err
    with pytest.raises(InputError, match="made by segagent corrupt"):
        read_truth(tmp_path)
    (tmp_path / TRUTH_FILE).write_text('{"sample_id": "a"}\n')
    with pytest.raises(InputError, match="line 1"):
        read_truth(tmp_path)
