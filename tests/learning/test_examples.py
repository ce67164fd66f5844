import dataclasses

import numpy as np
import pytest

from segagent.core import Box, Click, Finish, Image, InvalidAction, Proposal, Undo, iou
from segagent.environment import Episode, GenerationConfig, Target, generate_trajectories, next_click
from segagent.learning.examples import Correction, fates, sft_examples, star_examples, star_plus_examples
from segagent.learning.star.corrections import try_corrections
from segagent.search import SearchConfig, run_search, with_rewards
from segagent.tools.fake import DiscTool

EPISODE = Episode(Image.of(np.zeros((40, 50, 3), np.uint8)), "the disc", "sample 1")


def target():
    yy, xx = np.mgrid[:40, :50]
    return Target(((yy - 20) / 12) ** 2 + ((xx - 25) / 15) ** 2 < 1)


class Replies:
    name = "replies"

    def __init__(self, *actions):
        self.actions = list(actions)

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        return [[Proposal(self.actions.pop(0), None, None, "")] * num_proposals for _ in observations]


def rolled_out(*actions):
    config = SearchConfig(max_steps=len(actions), use_prm=False)
    (trajectory,) = run_search([EPISODE], Replies(*actions), DiscTool(), config)
    return with_rewards(trajectory, target())


def test_sft_teaches_every_state_its_iou_and_the_annotators_action():
    (trajectory,) = generate_trajectories([EPISODE], [target()], DiscTool(), GenerationConfig(9, tau_stop=0.5))
    examples = sft_examples(trajectory)
    assert len(examples) == len(trajectory.steps) + 1
    assert [e.action for e in examples[:-1]] == [s.action for s in trajectory.steps]
    assert [e.current_iou for e in examples] == [trajectory.reward_at(i) for i in range(len(examples))]
    assert trajectory.stopped == "tau_stop"
    assert examples[-1].action == Finish()
    cut = dataclasses.replace(trajectory, stopped="max_steps")
    assert sft_examples(cut)[-1].action is None
    assert {e.origin for e in examples} == {"annotator"}


def corrected(trajectory, **rules):
    """The examples of StaR+, and the annotator's clicks that were tried."""
    (tried,) = try_corrections([(trajectory, EPISODE.image, target())], DiscTool())
    return star_plus_examples(trajectory, tried, GenerationConfig(**rules)), tried


def test_star_plus_keeps_what_helped_and_replaces_what_did_not():
    good, harmful, useless = Click(25, 20, True), Click(25, 20, False), Click(2, 2, False)
    trajectory = rolled_out(good, harmful, useless, InvalidAction("?", "no"), Click(30, 20, True))
    examples, tried = corrected(trajectory)
    assert [e.origin for e in examples] == ["kept", "replaced", "replaced", "replaced", "kept", "kept"]
    assert examples[-1].action is None
    assert examples[-1].current_iou == trajectory.reward_at(5)
    assert set(tried) == {2, 3, 4}
    for index, example in enumerate(examples):
        assert example.mask == trajectory.rle_at(index)
        assert example.current_iou == iou(trajectory.mask_at(index), target().mask)
        if example.origin == "replaced":
            clicked = [s.action for s in trajectory.steps[:index] if isinstance(s.action, Click)]
            assert example.action == next_click(trajectory.mask_at(index), target().mask, clicked)
            again = rolled_out(*(step.action for step in trajectory.steps[:index]), example.action)
            assert tried[index + 1].reward == again.reward_at(index + 1) > example.current_iou
    assert fates(examples) == {"kept": 2, "replaced": 3, "dropped": 0}


def test_a_finish_is_right_from_tau_stop_on():
    trajectory = rolled_out(Click(25, 20, True), Finish())
    reached = trajectory.reward_at(1)
    assert 0 < reached < 0.9
    examples, _ = corrected(trajectory, tau_stop=reached)
    assert (examples[1].action, examples[1].origin) == (Finish(), "kept")
    examples, tried = corrected(trajectory, tau_stop=reached + 0.01)
    assert (examples[1].action, examples[1].origin) == (tried[2].click, "replaced")
    # A click that spoils a mask that was good enough is replaced by what D_0 holds there.
    spoilt = rolled_out(Click(25, 20, True), Click(25, 20, False))
    examples, _ = corrected(spoilt, tau_stop=reached)
    assert (examples[1].action, examples[1].origin) == (Finish(), "replaced")


def test_a_correction_that_does_not_help_enough_is_dropped():
    trajectory = rolled_out(Click(25, 20, True), InvalidAction("?", "no"))
    _, tried = corrected(trajectory)
    gain = tried[2].reward - trajectory.reward_at(1)
    assert gain > 0
    assert corrected(trajectory, tau_diff=gain - 1e-6)[0][1].origin == "replaced"
    dropped = corrected(trajectory, tau_diff=gain + 1e-6)[0]
    # The IoU of the state is still known to be right.
    assert (dropped[1].action, dropped[1].origin) == (None, "dropped")
    assert dropped[1].current_iou == trajectory.reward_at(1)
    assert fates(dropped) == {"kept": 1, "replaced": 0, "dropped": 1}
    for reward in (trajectory.reward_at(1), 0.0):  # Nothing gained, and something lost.
        useless = {2: Correction(tried[2].click, reward)}
        assert star_plus_examples(trajectory, useless)[1].origin == "dropped"


def test_boxes_and_undos_that_raised_the_reward_are_kept():
    box = Box(10, 8, 40, 32)
    trajectory = rolled_out(box, Click(25, 20, False), Undo(), Undo())
    assert [step.invalid for step in trajectory.steps] == [None] * 4
    examples, tried = corrected(trajectory)
    assert [e.action for e in examples[:3]] == [box, tried[2].click, Undo()]
    assert [e.origin for e in examples] == ["kept", "replaced", "kept", "replaced", "kept"]


def test_star_keeps_whole_trajectories_by_their_outcome():
    trajectory = rolled_out(Click(25, 20, True), InvalidAction("?", "no"), Click(2, 2, False))
    final = trajectory.reward_at(3)
    assert [e.action for e in star_examples(trajectory, min_reward=final)] == [Click(25, 20, True), Click(2, 2, False)]
    assert star_examples(trajectory, min_reward=final + 0.01) == []


def test_rewards_are_required():
    (trajectory,) = run_search([EPISODE], Replies(Click(25, 20, True)), DiscTool(), SearchConfig(1, use_prm=False))
    for make in (sft_examples, lambda t: star_plus_examples(t, {}), lambda t: star_examples(t, min_reward=0)):
        with pytest.raises(ValueError, match="no reward"):
            make(trajectory)
