"""Policies over HTTP: the same trajectory as in process, whatever the network does, and nothing paid for twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loopback import FAULTS, SLOW, DicePolicy, FaultProxy, Scripted, completion, serving

from segagent.core import Image, InvalidAction, Trajectory, Usage, frozen_mask, total_usage
from segagent.environment import Episode, StartSpec
from segagent.policies.chat import FORMATS, ChatPolicy
from segagent.policies.openai import (
    Budget,
    BudgetError,
    Patience,
    ReplyCache,
    ServedModel,
    ServedModelConfig,
)
from segagent.search import SearchConfig, rollout
from segagent.tools.fake import DiscTool

PATIENCE = Patience(timeout=60.0, retries=50, pause=0.001, max_pause=0.01)
"""Where nothing hangs, a slow machine is no reason to ask again."""
HURRIED = Patience(timeout=1.5, retries=50, pause=0.001, max_pause=0.01)
"""Where replies hang on purpose."""
CONFIG = SearchConfig(max_steps=3, num_candidates=3)


def episodes(count: int) -> list[Episode]:
    """Small pictures, pure green pixels among them, a fifth of them with a start mask."""
    rng = np.random.default_rng(7)
    made = []
    for number in range(count):
        pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
        pixels[:4, :8] = (0, 255, 0) if number % 3 else (0, 254, 0)
        mask = frozen_mask(rng.random((24, 32)) < 0.3)
        start = StartSpec("mask", mask) if number % 5 == 0 else StartSpec()
        made.append(Episode(Image.of(pixels), f'the "{number}" mug\n', str(number), start=start, seed=number))
    return made


def without_pure_green(given: list[Episode]) -> list[Episode]:
    """The pictures as the wire carries them: see ``visibly_coverable``."""
    from segagent.policies.chat.format import visibly_coverable

    return [replace(episode, image=Image.of(visibly_coverable(episode.image.pixels))) for episode in given]


def told(trajectories: list[Trajectory]) -> list[object]:
    """All that must agree: actions, masks, scores, candidates, stop reasons. Why a reply is invalid may differ."""
    return [
        (
            [
                (
                    "invalid" if isinstance(step.action, InvalidAction) else step.action,
                    step.mask,
                    step.predicted_iou,
                    [candidate.action for candidate in step.candidates],
                )
                for step in trajectory.steps
            ],
            trajectory.start,
            trajectory.returned,
            trajectory.stopped,
        )
        for trajectory in trajectories
    ]


def run(policy: ChatPolicy | DicePolicy, given: list[Episode], config: SearchConfig = CONFIG) -> list[object]:
    return told(list(rollout(given, policy, DiscTool(), config, batch_size=16)))


def client(
    url: str,
    made: list[ServedModel],
    folder: Path | None = None,
    budget: Budget | None = None,
    patience: Patience = PATIENCE,
) -> ChatPolicy:
    config = ServedModelConfig(
        wide_seeds=True, log_probs=True, patience=patience, budget=budget or Budget(), concurrency=8
    )
    made.append(ServedModel("dice", url, config, ReplyCache(folder) if folder else None))
    return ChatPolicy("openai:test", made[-1], FORMATS["segagent"])


def test_trajectory_is_the_one_in_process(made: list[ServedModel]) -> None:
    given = without_pure_green(episodes(12))
    with serving(DicePolicy()) as url:
        policy = client(url, made)
        assert run(policy, given) == run(DicePolicy(), given)
        greedy = SearchConfig(max_steps=4)
        assert run(policy, given, greedy) == run(DicePolicy(), given, greedy)
    assert policy.usage.calls > 0
    assert policy.usage.retries == 0


@pytest.mark.slow
def test_faults_cost_patience_and_nothing_else(made: list[ServedModel], tmp_path: Path) -> None:
    check_faults(made, tmp_path, count=8, config=SearchConfig(max_steps=2, num_candidates=3))


@pytest.mark.slow
def test_many_episodes_through_faults_of_every_kind(made: list[ServedModel], tmp_path: Path) -> None:
    faults = check_faults(made, tmp_path, count=40, config=SearchConfig(max_steps=4))
    assert set(faults) == {*FAULTS, "none"}
    assert sum(faults[one] for one in SLOW) == 8


def check_faults(made: list[ServedModel], folder: Path, count: int, config: SearchConfig) -> Counter[str]:
    given = without_pure_green(episodes(count))
    expected = run(DicePolicy(), given, config)
    with serving(DicePolicy()) as url, FaultProxy(url, rate=0.3, hang=2.0) as proxy:
        policy = client(proxy.url, made, folder, patience=HURRIED)
        assert run(policy, given, config) == expected
        assert len(proxy.faults) > 4
        assert policy.usage.retries > 0
        assert max(proxy.upstream.values()) == 1, "a question was asked again after its answer had arrived"
        asked = proxy.upstream.total()
        assert policy.usage.calls == asked + policy.usage.retries
        again = client(proxy.url, made, folder, patience=HURRIED)
        assert run(again, given, config) == expected
        assert proxy.upstream.total() == asked, "the second run asked what the first one knew"
        assert again.usage.calls == 0
        assert again.usage.cached >= asked
        return proxy.faults


def test_interrupted_run_goes_on_where_it_stopped(made: list[ServedModel], tmp_path: Path) -> None:
    given = without_pure_green(episodes(6))
    with serving(DicePolicy()) as url, FaultProxy(url, rate=0.0, hang=1.0) as proxy:
        for _ in range(200):
            policy = client(proxy.url, made, tmp_path, Budget(calls=17))
            try:
                results = run(policy, given)
            except BudgetError:
                continue
            break
        assert results == run(DicePolicy(), given)
        assert max(proxy.upstream.values()) == 1


@pytest.mark.parametrize("config", [SearchConfig(max_steps=3), CONFIG])
def test_usage_is_in_the_trajectories(made: list[ServedModel], tmp_path: Path, config: SearchConfig) -> None:
    """Episode by episode; together it is what the policy has spent, failed calls included."""
    given = [*episodes(5), *episodes(2)]

    def answer(body: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
        if len(server.requests) % 4 == 0:
            return 500, {}, b""
        texts = [f"Current IoU: {len(server.requests) % 90}. Positive point: ({n}, 3)" for n in range(3)]
        usage = {"prompt_tokens": 100, "completion_tokens": 7}
        return completion(*texts[: int(str(body.get("n", 1)))], usage=usage)

    with Scripted(answer) as server:
        policy = client(server.url, made, tmp_path)
        trajectories = list(rollout(given, policy, DiscTool(), config))
        spent = [trajectory.usage for trajectory in trajectories]
        assert all(isinstance(one, Usage) and one.calls > 0 for one in spent[:5])
        assert spent[5] is not None
        assert spent[5].calls == 0, "the sixth episode is the first once more, in the same batch"
        total = total_usage(spent)
        assert total is not None
        assert total.seconds == pytest.approx(policy.usage.seconds)
        assert replace(total, seconds=0) == replace(policy.usage, seconds=0)
        assert total.retries > 0
        assert total.prompt_tokens == 100 * (total.calls - total.retries)
        again = client(server.url, made, tmp_path)
        for trajectory in rollout(given, again, DiscTool(), config):
            assert trajectory.usage is not None
            assert (trajectory.usage.calls, trajectory.usage.prompt_tokens) == (0, 0)
            assert trajectory.usage.cached >= trajectory.num_policy_calls


def test_budget_of_seconds(made: list[ServedModel]) -> None:
    with serving(DicePolicy()) as url, pytest.raises(BudgetError, match=r"budget of 0\.01 seconds"):
        run(client(url, made, budget=Budget(seconds=0.01)), episodes(12))
