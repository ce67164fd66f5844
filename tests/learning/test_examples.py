import dataclasses

import numpy as np
import pytest

from segagent.core import Click, Finish, Image, InvalidAction, Proposal, iou
from segagent.environment import Episode, GenerationConfig, Target, generate_trajectories, next_click
from segagent.learning.examples import replaced_share, sft_examples, star_examples, star_plus_examples
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


def test_star_plus_keeps_what_helped_and_replaces_what_did_not():
    good, harmful, useless = Click(25, 20, True), Click(25, 20, False), Click(2, 2, False)
    trajectory = rolled_out(good, harmful, useless, InvalidAction("?", "no"), Click(30, 20, True))
    examples = star_plus_examples(trajectory, target())
    assert [e.origin for e in examples] == ["kept", "replaced", "replaced", "replaced", "kept", "kept"]
    assert examples[-1].action is None
    assert examples[-1].current_iou == trajectory.reward_at(5)
    for index, example in enumerate(examples):
        assert example.mask == trajectory.rle_at(index)
        assert example.current_iou == iou(trajectory.mask_at(index), target().mask)
        if example.origin == "replaced":
            clicked = [s.action for s in trajectory.steps[:index] if isinstance(s.action, Click)]
            assert example.action == next_click(trajectory.mask_at(index), target().mask, clicked)
    assert replaced_share(examples) == 0.6
    assert np.isnan(replaced_share([]))


def test_star_keeps_whole_trajectories_by_their_outcome():
    trajectory = rolled_out(Click(25, 20, True), InvalidAction("?", "no"), Click(2, 2, False))
    final = trajectory.reward_at(3)
    assert [e.action for e in star_examples(trajectory, min_reward=final)] == [Click(25, 20, True), Click(2, 2, False)]
    assert star_examples(trajectory, min_reward=final + 0.01) == []


def test_rewards_are_required():
    (trajectory,) = run_search([EPISODE], Replies(Click(25, 20, True)), DiscTool(), SearchConfig(1, use_prm=False))
    for make in (sft_examples, lambda t: star_plus_examples(t, target()), lambda t: star_examples(t, min_reward=0)):
        with pytest.raises(ValueError, match="no reward"):
            make(trajectory)
