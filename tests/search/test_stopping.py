"""The stopping rule read off a full-length episode gives what playing with it gives."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segagent.core import Click, Finish, Image, Trajectory, Usage
from segagent.environment import Episode
from segagent.policies import ScriptedPolicy, format_reply
from segagent.search import SearchConfig, run_search
from segagent.search.stopping import best_scored, shortened
from segagent.tools.fake import DiscTool

EPISODE = Episode(Image.of(np.zeros((20, 30, 3), np.uint8)), "the bar", seed=3)


class Costly(ScriptedPolicy):
    """Each call costs ten tokens."""

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):  # type: ignore[no-untyped-def]
        replies = super().propose(observations, num_proposals, temperature=temperature, seeds=seeds)
        return [[replace(one[0], usage=Usage(calls=1, prompt_tokens=10)), *one[1:]] for one in replies]


def play(lines: list[str], config: SearchConfig) -> Trajectory:
    return run_search([EPISODE], Costly(lines), DiscTool(3), config)[0]


def full(steps: int) -> SearchConfig:
    return SearchConfig(steps, stop_iou=2.0, patience=steps)


actions = st.one_of(
    st.builds(Click, st.integers(0, 29), st.integers(0, 19), st.booleans()), st.just(Finish()), st.just(None)
)
scores = st.one_of(st.none(), st.sampled_from([0.1, 0.5, 0.9, 0.95, 1.0]))


def line(action: Click | Finish | None, score: float | None) -> str:
    said = format_reply(Finish() if action is None else action, score)
    return said.replace("Finish", "what?") if action is None else said


@given(
    st.lists(st.builds(line, actions, scores), min_size=1, max_size=7),
    st.integers(1, 6),
    st.integers(0, 3),
    st.sampled_from([0.5, 0.93, 1.0]),
    st.integers(1, 4),
)
def test_a_shortened_episode_is_the_one_that_stopping_plays(
    lines: list[str], steps: int, more: int, stop_iou: float, patience: int
) -> None:
    config = SearchConfig(steps, stop_iou=stop_iou, patience=patience)
    cut = shortened(play(lines, full(steps + more)), config)
    assert replace(cut, seconds=0.0) == replace(play(lines, config), seconds=0.0)


def test_seconds_are_shared_by_calls() -> None:
    long = replace(play([format_reply(Click(3, 3, True), 0.99)] * 5, full(4)), seconds=10.0)
    cut = shortened(long, SearchConfig(4))
    assert (long.num_policy_calls, len(cut.steps), cut.stopped) == (5, 0, "confident")
    assert cut.seconds == pytest.approx(2.0)


def test_patience_counts_steps_without_a_new_best() -> None:
    click = Click(3, 3, True)
    lines = [format_reply(click, score) for score in (0.1, 0.5, 0.4, 0.5, 0.9, 0.2)]
    for patience, length, returned, why in ((1, 2, 1, "converged"), (2, 3, 1, "converged"), (3, 5, 4, "max_steps")):
        cut = shortened(play(lines, full(5)), SearchConfig(5, patience=patience))
        assert (len(cut.steps), cut.returned, cut.stopped) == (length, returned, why)


def test_the_first_of_equal_scores_is_best() -> None:
    assert best_scored([0.2, None, 0.7, 0.7]) == 2
    assert best_scored([0.0]) == 0
    assert best_scored([None, None]) is None
    assert best_scored([]) is None
