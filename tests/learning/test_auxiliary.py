"""Spoiled and good masks, and what a policy ought to say about them."""

import numpy as np
import pytest

from segagent.cli.main import main
from segagent.core import Click, Finish, InputError, decode_rle, iou
from segagent.datasets import open_dataset
from segagent.environment import Target
from segagent.learning.auxiliary import auxiliary_examples
from segagent.learning.sft import load_annotator_set
from segagent.learning.sft.streamed import stream_examples
from segagent.learning.trajectories import TrajectoryConfig

SCENES = "scenes:4:seed=8,split=train,sentences=2,size=96"


def test_errors_are_pointed_at_and_masks_are_judged():
    wrong = good = 0
    for sample in open_dataset(SCENES):
        mask, ignore = sample.load_target()
        found = auxiliary_examples(sample, Target(mask, ignore), 3, 0.95, seed=5)
        assert [e.asks for e in found] == ["action", "good"] * 6
        for do, judge in zip(found[::2], found[1::2], strict=True):
            shown = decode_rle(do.mask)
            assert do.current_iou == judge.current_iou == iou(shown, mask, ignore)
            assert (do.mask, do.action) == (judge.mask, judge.action)
            if do.current_iou >= 0.95:
                assert do.action == Finish()
                good += 1
            else:
                assert isinstance(do.action, Click)
                row, column = do.action.y, do.action.x
                assert shown[row, column] != mask[row, column]
                assert do.action.positive == mask[row, column]
                wrong += 1
    assert good == wrong == 24
    first = next(iter(open_dataset(SCENES)))
    target = Target(*first.load_target())
    assert auxiliary_examples(first, target, 2, 0.9, 5) == auxiliary_examples(first, target, 2, 0.9, 5)
    assert auxiliary_examples(first, target, 2, 0.9, 5) != auxiliary_examples(first, target, 2, 0.9, 6)
    empty = Target(np.zeros_like(target.mask))
    assert auxiliary_examples(first, empty, 2, 0.9, 5) == []


def test_good_masks_are_not_all_the_true_one():
    sample = next(iter(open_dataset(SCENES)))
    mask, ignore = sample.load_target()
    found = auxiliary_examples(sample, Target(mask, ignore), 8, 0.9, seed=1)
    reached = {e.current_iou for e in found if e.current_iou >= 0.9}
    assert len(reached) > 2


def test_trajectories_keep_them_beside(tmp_path):
    made = ["trajectories", SCENES, "--tool", "disc", "--max-steps", "2", "--workers", "1", "--json"]
    assert main([*made, "-o", str(tmp_path / "plain.jsonl")]) == 0
    assert main([*made, "-o", str(tmp_path / "both.jsonl"), "--auxiliary", "2"]) == 0
    plain, both = (load_annotator_set(tmp_path / f"{name}.jsonl").examples for name in ("plain", "both"))
    assert plain == both  # The embedded model is asked no such questions.
    streamed = list(stream_examples(tmp_path / "both.jsonl", tmp_path / "i"))
    num_samples = len(list(open_dataset(SCENES)))
    assert sum(one.asks == "good" for one in streamed) == 4 * num_samples
    assert [one for one in streamed if one in plain] == plain
    assert len(streamed) == len(plain) + 8 * num_samples
    assert main([*made, "-o", str(tmp_path / "both.jsonl"), "--auxiliary", "3"]) == 2
    with pytest.raises(InputError, match="auxiliary"):
        TrajectoryConfig(starts=("box",), auxiliary=1)
