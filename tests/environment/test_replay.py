"""States out of records: what follows one is what followed it in the episode, byte for byte."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import Box, Click, Finish, InputError, Trajectory, Undo, encode_rle
from segagent.datasets import open_dataset
from segagent.environment import Episode, StartSpec, replay
from segagent.environment.replay import start_of
from segagent.envs import AnnotationEnv, Turn
from segagent.policies import make_policy
from segagent.search import SearchConfig, run_search
from segagent.tools import make_tool

DATA = "scenes:2:seed=5,split=train,sentences=1"
STARTS = (
    StartSpec(),
    StartSpec("box", box=Box(10, 12, 60, 50)),
    StartSpec("random", clicks=(Click(20, 20, True), Click(40, 30, False))),
    StartSpec("mask", mask=np.arange(96 * 128).reshape(96, 128) % 7 == 0),
)
ACTIONS = st.one_of(
    st.builds(Click, st.integers(0, 90), st.integers(0, 90), st.booleans()),
    st.just(Undo()),
    st.just("I see nothing"),
    st.just("Current IoU: 12. Positive point: (30, 20)"),
)


@cache
def env(tool: str) -> AnnotationEnv:
    return AnnotationEnv(DATA, tool, max_steps=9)


def shown(turn: Turn) -> tuple[str, bytes, bytes, int]:
    return turn.prompt, turn.picture.tobytes(), turn.observation.mask.tobytes(), turn.num_steps


@settings(max_examples=30)
@given(st.integers(0, 3), st.lists(ACTIONS, min_size=1, max_size=6))
def test_any_step_of_an_episode_can_be_gone_on_from(start: int, actions: list[Click | Undo | str]) -> None:
    played, other = env("disc"), env("disc").copy()
    begun = STARTS[start]
    if begun.mask is not None:
        image = played.reset(0).observation.image
        begun = replace(begun, mask=np.resize(begun.mask, (image.height, image.width)))
    turns = [played.reset(0, begun), *(played.act(action) for action in actions)]
    record = Trajectory.from_dict(played.trajectory().to_dict())
    for index, turn in enumerate(turns):
        assert shown(other.resume(record, index)) == shown(turn)
        assert list(other.state.prompts) == record.prompts_at(index)
        for following in range(index, len(actions)):
            made = other.act(actions[following])
            assert shown(made) == shown(turns[following + 1])
            assert made.reward == turns[following + 1].reward
    assert other.trajectory() == played.trajectory()


@pytest.mark.parametrize("tool", ["grabcut", "embedded"])
def test_the_memory_of_real_tools_is_made_anew(tool: str) -> None:
    played, other = env(tool), env(tool).copy()
    actions = [Click(30, 30, True), Click(60, 40, True), Undo(), Click(50, 20, False)]
    turns = [played.reset(1), *(played.act(action) for action in actions)]
    record = played.trajectory()
    for index in (2, 3):
        other.resume(record, index)
        assert shown(other.act(actions[index])) == shown(turns[index + 1])


def test_branches_of_a_search_are_followed() -> None:
    sample = next(iter(open_dataset(DATA)))
    tool = make_tool("disc")
    image = sample.load_image()
    config = SearchConfig(max_steps=5, num_candidates=3, best_first=True)
    episode = Episode(image, sample.text, sample.sample_id, sample.image_name)
    (record,) = run_search([episode], make_policy("embedded"), tool, config)
    for index in range(len(record.steps) + 1):
        states = replay(record, index, image, tool.embed([image])[0], tool)
        assert len(states) == len(record.path_to(index)) + 1
        assert encode_rle(states[-1].mask) == record.rle_at(index)


def test_what_cannot_be_gone_on_with_is_told() -> None:
    played = env("disc")
    played.reset(0)
    played.act(Click(30, 30, True))
    record = played.trajectory()
    with pytest.raises(InputError, match=r"another mask of state 1 .* made with 'disc'"):
        env("grabcut").resume(record)
    with pytest.raises(InputError, match="no sample 'gone'"):
        played.resume(replace(record, sample_id="gone"))
    with pytest.raises(InputError, match="on record"):
        played.resume(replace(record, width=record.width + 1))
    played.resume(record)
    played.act(Finish())
    with pytest.raises(ValueError, match="is its end"):
        played.resume(played.trajectory())
    assert start_of(record).kind == "empty"
