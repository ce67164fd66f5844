"""Search on a toy problem: discs as the tool, an annotator that sometimes errs and says how good the mask is."""

import json
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segagent.core import Click, Finish, Image, InputError, InvalidAction, Proposal, Trajectory, Undo, Usage, iou
from segagent.core.usage import Prices
from segagent.environment import Episode, StartSpec, Target, next_click
from segagent.search import SearchConfig, rollout, run_search, with_rewards
from segagent.tools.fake import DiscTool


def picture(value=0):
    return Image.of(np.full((40, 50, 3), value, np.uint8))


def ellipse(cx=25, rx=15):
    yy, xx = np.mgrid[:40, :50]
    return ((yy - 20) / 12) ** 2 + ((xx - cx) / rx) ** 2 < 1


class NoisyAnnotator:
    """Test policy that holds the target. Greedy is the rule; samples are random clicks; scores carry noise."""

    name = "noisy"

    def __init__(self, target, noise=0.0, greedy_is_random=False):
        self.target, self.noise, self.greedy_is_random = target, noise, greedy_is_random
        self.calls = []

    def reply(self, observation, seed, greedy):
        rng = np.random.default_rng([seed, greedy])
        click = next_click(observation.mask, self.target)
        if click is None:
            return Finish()
        if greedy and not self.greedy_is_random:
            return click
        return Click(int(rng.integers(50)), int(rng.integers(40)), bool(rng.integers(2)))

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        self.calls.append(len(observations))
        replies = []
        for observation, seed in zip(observations, seeds, strict=True):
            score = iou(observation.mask, self.target) + self.noise * np.random.default_rng(seed).normal()
            score = float(np.clip(score, 0, 1))
            replies.append(
                [
                    Proposal(self.reply(observation, seed + k, k == 0 or temperature == 0), score, -0.1, "text")
                    for k in range(num_proposals)
                ]
            )
        return replies


class Fixed:
    """Replies from a list, one per call of an observation, the last one forever."""

    name = "fixed"

    def __init__(self, *replies):
        self.replies, self.asked = list(replies), []

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        answers = []
        for _ in observations:
            self.asked.append((num_proposals, temperature))
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            answers.append([reply] * num_proposals)
        return answers


def said(action, predicted=None):
    return Proposal(action, predicted, None, "raw")


def one(policy, config, start=None, seed=0):
    (trajectory,) = run_search(
        [Episode(picture(), "x", start=start or StartSpec(), seed=seed)], policy, DiscTool(), config
    )
    return trajectory


def test_fixed_steps_return_the_last_mask_and_score_nothing_twice():
    policy = NoisyAnnotator(ellipse())
    trajectory = one(policy, SearchConfig(max_steps=3, use_prm=False))
    assert (len(trajectory.steps), trajectory.returned, trajectory.stopped) == (3, 3, "max_steps")
    assert trajectory.num_policy_calls == sum(policy.calls) == 3
    assert trajectory.steps[-1].predicted_iou is None


def test_prm_costs_one_call_more_than_steps():
    policy = NoisyAnnotator(ellipse())
    trajectory = one(policy, SearchConfig(max_steps=4, stop_iou=2.0, patience=99))
    assert trajectory.num_policy_calls == sum(policy.calls) == 5
    assert trajectory.steps[-1].predicted_iou is not None


@pytest.mark.parametrize("num_candidates", [2, 3, 8])
def test_search_costs_at_most_k_calls_per_step(num_candidates):
    policy = NoisyAnnotator(ellipse())
    config = SearchConfig(max_steps=5, num_candidates=num_candidates, stop_iou=2.0, patience=99)
    trajectory = one(policy, config)
    assert trajectory.num_policy_calls == sum(policy.calls) <= 1 + num_candidates * len(trajectory.steps)
    assert len(policy.calls) == 1 + len(trajectory.steps)


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_more_steps_never_return_a_mask_scored_worse(seed, num_candidates, max_steps):
    target = ellipse()
    results = []
    for steps in (max_steps, max_steps + 2):
        policy = NoisyAnnotator(target, noise=0.2, greedy_is_random=True)
        trajectory = one(policy, SearchConfig(max_steps=steps, num_candidates=num_candidates), seed=seed)
        scores = [trajectory.predicted_iou_at(i) for i in range(len(trajectory.steps) + 1)]
        assert trajectory.predicted_iou_at(trajectory.returned) == max(scores)
        results.append((max(scores), trajectory.steps))
    assert results[1][0] >= results[0][0]
    assert [s.action for s in results[1][1][: len(results[0][1])]] == [s.action for s in results[0][1]]


def test_refinement_never_returns_a_mask_scored_below_the_given_one():
    target = ellipse()
    policy = NoisyAnnotator(target, greedy_is_random=True)
    for seed in range(10):
        trajectory = one(policy, SearchConfig(max_steps=3), StartSpec("mask", mask=target), seed)
        assert trajectory.predicted_iou_at(trajectory.returned) >= trajectory.start.predicted_iou


def test_search_takes_the_best_scored_candidate():
    policy = NoisyAnnotator(ellipse(), greedy_is_random=True)
    trajectory = one(policy, SearchConfig(max_steps=4, num_candidates=6, stop_iou=2.0, patience=99))
    for step in trajectory.steps:
        assert all(step.predicted_iou >= candidate.predicted_iou for candidate in step.candidates)
    assert any(step.candidates for step in trajectory.steps)


def test_search_beats_greedy_when_greedy_errs():
    target = ellipse()
    results = {}
    for num_candidates in (1, 8):
        policy = NoisyAnnotator(target, greedy_is_random=True)
        config = SearchConfig(max_steps=5, num_candidates=num_candidates, patience=99)
        episodes = [Episode(picture(), "x", seed=seed) for seed in range(12)]
        trajectories = run_search(episodes, policy, DiscTool(), config)
        results[num_candidates] = np.mean([with_rewards(t, Target(target)).reward_at(t.returned) for t in trajectories])
    assert results[8] > results[1] + 0.05


def test_batches_change_nothing():
    target = ellipse()
    episodes = [Episode(picture(i % 3), f"t{i}", str(i), seed=i) for i in range(7)]
    config = SearchConfig(max_steps=4, num_candidates=3)

    def results(batch_size):
        policy = NoisyAnnotator(target, noise=0.1)
        found = rollout(episodes, policy, DiscTool(), config, batch_size=batch_size)
        return [{**t.to_dict(), "seconds": 0} for t in found]

    assert results(1) == results(3) == results(7)


class Uneven:
    """Says Finish after a number of steps that depends on the sentence, and notes how many are asked together."""

    name = "uneven"

    def __init__(self):
        self.asked = []

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        self.asked.append(len(observations))
        return [[self._reply(o, index) for index in range(num_proposals)] for o in observations]

    def _reply(self, observation, index):
        clicks = int(observation.mask.sum() > 0) + int(observation.mask[0].sum() > 0)
        length, number = int(observation.text), zlib.crc32(observation.mask.tobytes())
        done = length == 0 or (length == 1 and clicks)
        action = Finish() if done else Click((number + 7 * index) % 40, number // 40 % 30, number % 3 > 0)
        return Proposal(action, number % 89 / 100, None, "")


@settings(max_examples=25)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.integers(1, 10), st.integers(1, 3))
def test_an_episode_that_ends_makes_room_and_changes_no_other(lengths, batch_size, num_candidates):
    episodes = [Episode(picture(i % 3), str(n), str(i), seed=i) for i, n in enumerate(lengths)]
    config = SearchConfig(max_steps=5, num_candidates=num_candidates, patience=3)
    alone = [run_search([episode], Uneven(), DiscTool(), config)[0] for episode in episodes]
    policy = Uneven()
    together = list(rollout(episodes, policy, DiscTool(), config, batch_size=batch_size))
    told = [[json.dumps({**t.to_dict(), "seconds": 0}) for t in made] for made in (alone, together)]
    assert told[0] == told[1]


def test_no_episode_waits_for_the_slowest():
    class Quick(Uneven):
        def _reply(self, observation, index):
            click = Click(int(observation.mask.any(axis=0).sum()), 20, True)  # Where the mask ends: it always grows.
            return Proposal(Finish() if observation.text == "0" else click, None, None, "")

    lengths = [1] + [0] * 8
    episodes = [Episode(picture(0), str(n), str(i), seed=i) for i, n in enumerate(lengths)]
    policy = Quick()
    list(rollout(episodes, policy, DiscTool(3), SearchConfig(max_steps=8, use_prm=False), batch_size=3))
    # The long one makes 8 steps; meanwhile the others come and go two at a time. In lockstep 10 calls are needed.
    assert policy.asked == [3, 1, 3, 1, 3, 1, 3, 1]


def test_each_image_is_embedded_once_over_batches():
    class Counting(DiscTool):
        embedded = 0

        def embed(self, images):
            self.embedded += len(images)
            return super().embed(images)

    tool = Counting()
    episodes = [Episode(picture(i // 5), "x", seed=i) for i in range(20)]
    assert len(list(rollout(episodes, NoisyAnnotator(ellipse()), tool, SearchConfig(max_steps=1), batch_size=3))) == 20
    assert tool.embedded == 4
    assert list(rollout([], NoisyAnnotator(ellipse()), tool)) == []


@pytest.mark.parametrize(
    ("policy", "config", "stopped", "steps"),
    [
        (Fixed(said(Click(5, 5, True), 0.5)), SearchConfig(max_steps=9, patience=2), "converged", 2),
        (Fixed(said(Click(5, 5, True), 0.1), said(Finish(), 0.6)), SearchConfig(), "finish", 2),
        (Fixed(said(Finish(), 0.6)), SearchConfig(), "finish", 1),
        (Fixed(said(Click(5, 5, True), 0.1), said(Click(9, 9, True), 0.99)), SearchConfig(), "confident", 1),
        (Fixed(said(Click(5, 5, True), 0.99)), SearchConfig(), "confident", 0),
        (Fixed(said(Click(5, 5, True))), SearchConfig(max_steps=3), "max_steps", 3),
        (Fixed(said(Click(5, 5, True))), SearchConfig(max_policy_calls=2), "max_policy_calls", 1),
        (Fixed(said(Click(5, 5, True))), SearchConfig(max_seconds=0.0), "max_seconds", 0),
    ],
)
def test_why_an_episode_stops(policy, config, stopped, steps):
    trajectory = one(policy, config)
    assert (trajectory.stopped, len(trajectory.steps)) == (stopped, steps)


def test_money_stops_an_episode_where_the_policy_tells_its_tokens():
    spent = Usage(calls=1, prompt_tokens=1000, completion_tokens=100)
    paid = [Proposal(Click(x, 5, True), None, None, "raw", spent) for x in (5, 15, 25, 35)]
    dear = SearchConfig(max_money=0.0035, prices=Prices(prompt=1.0, completion=2.0))
    trajectory = one(Fixed(*paid), dear)
    assert (trajectory.stopped, trajectory.usage.prompt_tokens) == ("max_money", 3000)
    assert one(Fixed(said(Click(5, 5, True))), dear).stopped != "max_money"
    with pytest.raises(InputError, match="prices"):
        SearchConfig(max_money=1.0)
    with pytest.raises(ValueError, match="at least 0"):
        Prices(-1.0)


def test_a_good_start_is_kept_where_asked():
    policy = Fixed(said(Click(5, 5, True), 0.9))
    assert one(policy, SearchConfig(keep_iou=0.9)).stopped == "kept"
    assert one(policy, SearchConfig(keep_iou=0.91)).stopped != "kept"


def test_invalid_replies_are_counted_and_then_sampled():
    policy = Fixed(
        said(InvalidAction("??", "no action"), 0.1), said(Click(99, 99, True), 0.1), said(Click(5, 5, True), 0.1)
    )
    trajectory = one(policy, SearchConfig(max_steps=3, patience=9))
    assert [type(step.action) for step in trajectory.steps] == [InvalidAction, Click, Click]
    assert trajectory.steps[0].mask == trajectory.steps[1].mask == trajectory.start.mask
    assert trajectory.num_tool_calls == 1
    assert [step.invalid is None for step in trajectory.steps] == [False, False, True]
    assert trajectory.num_invalid == 2
    assert policy.asked == [(1, 0.0), (2, 1.0), (2, 1.0), (1, 0.0)]


def test_undo_is_carried_out():
    policy = Fixed(said(Click(5, 5, True)), said(Undo()), said(Click(9, 9, True)))
    trajectory = one(policy, SearchConfig(max_steps=2))
    assert trajectory.steps[0].mask != trajectory.start.mask
    assert trajectory.steps[1].mask == trajectory.start.mask


def test_candidates_of_a_policy_that_never_predicts_an_iou_are_refused():
    policy = Fixed(said(Click(5, 5, True)))
    policy.predicts_iou = False
    with pytest.raises(InputError, match="predicts no IoU"):
        one(policy, SearchConfig(num_candidates=2))


class Forgetful:
    """Proposes two clicks; states an IoU of a mask only where that covers pixel (20, 20)."""

    name = "forgetful"

    def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
        clicks = [Click(5, 5, True), Click(20, 20, True)]
        return [[said(click, 0.1 if look.mask[20, 20] else None) for click in clicks] for look in observations]


def test_a_reply_without_an_iou_is_the_lowest_score():
    trajectory = one(Forgetful(), SearchConfig(num_candidates=2, max_steps=2))
    assert trajectory.steps[0].action == Click(20, 20, True)
    assert (trajectory.start.predicted_iou, trajectory.steps[0].predicted_iou, trajectory.returned) == (None, 0.1, 1)
    silent = one(Fixed(said(Click(5, 5, True))), SearchConfig(num_candidates=2, max_steps=2))
    assert (len(silent.steps), silent.returned, silent.stopped) == (2, 2, "max_steps")


@pytest.mark.parametrize(
    "settings_",
    [
        {"max_steps": 0},
        {"num_candidates": 0},
        {"num_candidates": 2, "use_prm": False},
        {"best_first": True},
        {"patience": 0},
        {"temperature": -1.0},
        {"temperature": float("nan")},
    ],
)
def test_meaningless_settings_are_refused(settings_):
    with pytest.raises(InputError):
        SearchConfig(**settings_)


def test_rewards_are_filled_in_afterwards_and_survive_json():
    target = ellipse()
    trajectory = one(NoisyAnnotator(target), SearchConfig(max_steps=3, use_prm=False))
    assert trajectory.reward_at(0) is None
    rated = with_rewards(trajectory, Target(target))
    assert rated.reward_at(0) == 0
    assert rated.reward_at(3) == iou(rated.mask_at(3), target)
    assert Trajectory.from_dict(json.loads(json.dumps(rated.to_dict()))) == rated


def test_best_first_steps_back_to_the_best_state_not_gone_on_from():
    """Three candidates per state, scores planned by the clicks in force: the branch of (1, 1) disappoints."""
    plan = {(): 0.1, (1,): 0.6, (2,): 0.5, (1, 1): 0.2, (1, 2): 0.3, (2, 1): 0.4, (2, 2): 0.7}

    class Planned:
        name = "planned"

        def propose(self, observations, num_proposals=1, *, temperature=0.0, seeds=None):
            return [
                [said(Click(n * 12, len(path) * 12 + 4, True), plan.get(path, 0.0)) for n in (1, 2)]
                for path in (made(o.mask) for o in observations)
            ]

    def made(mask):
        path = []
        for row in range(3):
            path += [n for n in (1, 2) if mask[row * 12 + 4, n * 12] and mask[row * 12 + 4, n * 12 + 2]]
        return tuple(path)

    config = SearchConfig(max_steps=3, num_candidates=2, best_first=True, patience=9)
    trajectory = one(Planned(), config)
    assert [(step.parent, step.predicted_iou) for step in trajectory.steps] == [(0, 0.6), (0, 0.5), (2, 0.7)]
    assert [click.x for click in trajectory.clicks] == [24, 24]
    straight = one(Planned(), SearchConfig(max_steps=3, num_candidates=2, patience=9))
    assert straight.predicted_iou_at(straight.returned) == 0.6


class Apart(NoisyAnnotator):
    """One that also proposes clicks in rows, and more of them than are asked for."""

    def __init__(self, target):
        super().__init__(target)
        self.told = []

    def propose_apart(self, observations, num_proposals, apart, *, temperature=0.0, seeds=None):
        self.told.append((num_proposals, apart, temperature, len(observations)))
        replies = self.propose(observations, 1, temperature=temperature, seeds=seeds)
        clicks = [Proposal(Click(5 * n, 3, True), None, -1.0, "text") for n in range(num_proposals + 2)]
        return [[first, *clicks] for (first,) in replies]


def test_distinct_objects_first_costs_at_most_k_calls_per_step():
    policy = Apart(ellipse())
    config = SearchConfig(4, 3, diversity=0.1, temperature=0.7, stop_iou=2.0, patience=9)
    made = one(policy, config)
    assert all(1 + len(step.candidates) == 3 for step in made.steps)
    assert made.num_policy_calls == 1 + 3 * 4
    assert {told[:3] for told in policy.told} == {(3, 0.1, 0.7)}


def test_diversity_is_refused_of_a_policy_that_cannot():
    with pytest.raises(InputError, match="'noisy' cannot propose distinct objects"):
        one(NoisyAnnotator(ellipse()), SearchConfig(2, 3, diversity=0.1))
    with pytest.raises(InputError, match="diversity"):
        SearchConfig(diversity=1.5)
