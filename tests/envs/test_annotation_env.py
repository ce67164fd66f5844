"""The environment under all faces: what a policy is shown, rewards, ends, and the record."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.core import Click, Finish, InputError, Trajectory, Undo, iou
from segagent.environment import SimulatedAnnotator, Target
from segagent.envs import REWARDS, AnnotationEnv, Outcome, reward_named
from segagent.search import SearchConfig, rollout

DATA = "scenes:6:seed=3,split=train,sentences=2"


@pytest.fixture(scope="module")
def env() -> AnnotationEnv:
    return AnnotationEnv(DATA, "disc", reward="iou_gain", max_steps=4)


def annotator(env: AnnotationEnv) -> SimulatedAnnotator:
    made = {}
    for sample in env.dataset:
        image = sample.load_image()
        made[SimulatedAnnotator.key(image, sample.text)] = Target(*sample.load_target(image))
    return SimulatedAnnotator(made)


def test_an_episode_is_what_the_search_plays(env: AnnotationEnv) -> None:
    knowing = annotator(env)
    for question in env.questions[:4]:
        turn = env.reset(question.index)
        first, total = env.iou, 0.0
        while not (turn.terminated or turn.truncated):
            turn = env.act(knowing.propose([turn.observation])[0][0].action)
            total += turn.reward
        assert total == pytest.approx(env.iou - first)
        (played,) = rollout([env.episode], knowing, env.tool, SearchConfig(max_steps=4, use_prm=False))
        made = Trajectory.from_dict(env.trajectory("simulated").to_dict())
        assert [step.action for step in made.steps] == [step.action for step in played.steps]
        assert [step.mask for step in made.steps] == [step.mask for step in played.steps]


def test_replies_are_read_in_the_chat_format_and_bad_ones_cost_a_step(env: AnnotationEnv) -> None:
    turn = env.reset(0)
    assert turn.observation.text in turn.prompt
    before = env.state.mask
    turn = env.act("I see nothing")
    assert turn.invalid is not None
    assert turn.num_steps == 1
    assert env.state.mask is before
    turn = env.act("Current IoU: 0. Positive point: (20, 20)")
    assert turn.invalid is None
    assert env.state.mask.any()
    assert (turn.picture != turn.observation.image.pixels).any()
    turn = env.act("Undo")
    assert not env.state.mask.any()
    turn = env.act("Finish")
    assert (turn.terminated, turn.truncated) == (True, False)
    with pytest.raises(ValueError, match="finished"):
        env.act(Finish())


def test_the_last_step_truncates_unless_it_finishes(env: AnnotationEnv) -> None:
    env.reset(1)
    turns = [env.act(Click(3, 3, True)) for _ in range(4)]
    assert [(one.terminated, one.truncated) for one in turns] == [(False, False)] * 3 + [(False, True)]
    assert env.trajectory().stopped == "max_steps"


def test_nothing_that_a_policy_gets_holds_the_target(env: AnnotationEnv) -> None:
    turn = env.reset(2)
    target = next(s for i, s in enumerate(env.dataset) if i == 2).load_target()[0]
    held = [value for value in vars(turn).values() if isinstance(value, np.ndarray)]
    assert not any(value.shape == target.shape and iou(value.astype(bool), target) > 0.99 for value in held)


def test_copies_play_on_their_own(env: AnnotationEnv) -> None:
    env.reset(0)
    other = env.copy()
    with pytest.raises(ValueError, match="reset"):
        other.act(Undo())
    other.reset(1)
    other.act(Click(2, 2, True))
    assert env.state.num_steps == 0


def test_several_actions_can_be_tried_in_one_state(env: AnnotationEnv) -> None:
    env.reset(0)
    env.act(Click(20, 20, True))
    before = env.state
    tried = [env.branch() for _ in range(2)]
    turns = [one.act(action) for one, action in zip(tried, (Click(40, 40, True), Undo()), strict=True)]
    assert [one.observation.mask.any() for one in turns] == [True, False]
    assert env.state is before
    assert [len(one.trajectory().steps) for one in (env, *tried)] == [1, 2, 2]


@given(st.lists(st.tuples(st.floats(-3, 3).map(lambda v: round(v, 2)), st.sampled_from(sorted(REWARDS))), min_size=1))
def test_named_rewards_are_weighted_sums(parts: list[tuple[float, str]]) -> None:
    turn = Outcome(Finish(), 0.95, 0.95, None, 0.5, True)
    made = reward_named("+".join(f"{weight} * {name}" for weight, name in parts))
    assert made(turn) == pytest.approx(sum(weight * REWARDS[name](turn) for weight, name in parts))


@pytest.mark.parametrize("words", ["", "gain", "x*iou_gain", "iou_gain+"])
def test_unknown_rewards_are_refused(words: str) -> None:
    with pytest.raises(InputError, match="iou_gain"):
        reward_named(words)
