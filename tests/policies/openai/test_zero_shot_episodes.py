"""Whole episodes with models that were never taught to click and misbehave, behind a server that fails now and then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from loopback import FaultProxy, Scripted, completion

from segagent.core import Click, Finish, Image, InvalidAction, SpecError, Trajectory, Undo
from segagent.environment import Episode
from segagent.policies.chat import FORMATS, ChatPolicy
from segagent.policies.openai import Patience, ServedModel, ServedModelConfig, make_openai_policy
from segagent.search import SearchConfig, run_search
from segagent.search.stopping import shortened
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 48, 64
FORMAT = replace(FORMATS["qwen3"], history=3, verify=True)
CONFIG = SearchConfig(max_steps=6, stop_iou=1.01)
PATIENCE = Patience(timeout=1.5, retries=40, pause=0.001, max_pause=0.01)
Model = Callable[[str], str]
"""What a model answers to a prompt."""


@contextmanager
def behind_faults(model: Model, rate: float = 0.4, fmt: Any = FORMAT, **settings: Any) -> Iterator[ChatPolicy]:
    """A policy that asks ``model`` through a proxy that fails a share of the calls."""

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        content = body["messages"][0]["content"]
        return completion(model(content[-1]["text"]), usage={"prompt_tokens": 9, "completion_tokens": 2})

    config = ServedModelConfig(patience=PATIENCE, concurrency=4, **settings)
    with Scripted(answer) as server, FaultProxy(server.url, rate=rate, hang=2.0, slow=0) as proxy:
        served = ServedModel("m", proxy.url, config)
        try:
            yield ChatPolicy("openai:m", served, fmt)
        finally:
            served.close()


def play(policy: ChatPolicy, config: SearchConfig = CONFIG, count: int = 3) -> list[Trajectory]:
    rng = np.random.default_rng(3)
    pixels = [rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(count)]
    episodes = [Episode(Image.of(one), f"the mug {n}", str(n), seed=n) for n, one in enumerate(pixels)]
    return run_search(episodes, policy, DiscTool(), config)


def click(x: int, y: int, iou: float, *, positive: bool = True) -> str:
    return FORMAT.render(Click(x, y, positive), HEIGHT, WIDTH, iou)


def reread(trajectory: Trajectory) -> Trajectory:
    """As a run's journal gives it back."""
    return Trajectory.from_dict(json.loads(json.dumps(trajectory.to_dict())))


def test_a_model_that_repeats_itself() -> None:
    """It is told so; what it says over again is no action, the tool is left alone, and the episode ends."""
    prompts: list[str] = []

    def model(prompt: str) -> str:
        prompts.append(prompt)
        return click(30, 20, 0.4)

    with behind_faults(model) as policy:
        played = play(policy)
    for trajectory in map(reread, played):
        assert trajectory.stopped == "converged"
        assert trajectory.num_tool_calls == 1
        assert trajectory.mask_at(trajectory.returned).any()
        assert trajectory.steps[0].action == Click(30, 20, True)
        for step in trajectory.steps[1:]:
            assert isinstance(step.action, InvalidAction)
            assert step.action.reason.startswith("repeated: the click of step 1 over again and was told so")
            assert [aside.why.partition(":")[0] for aside in step.asides] == ["repeated"]
        assert trajectory.usage is not None
        assert trajectory.usage.replies > trajectory.num_policy_calls
    assert any("that was your action 1 already" in prompt for prompt in prompts)
    assert any("no usable answer (repeated)" in prompt for prompt in prompts)


def test_a_model_that_listens_when_it_is_told_that_it_repeats_itself() -> None:
    places = {"already": (50, 30)}

    def model(prompt: str) -> str:
        return click(*places["already"], 0.6) if "already" in prompt else click(30, 20, 0.4)

    with behind_faults(model) as policy:
        played = play(policy, replace(CONFIG, max_steps=2))
    for trajectory in played:
        assert [step.action for step in trajectory.steps] == [Click(30, 20, True), Click(50, 30, True)]
        assert trajectory.num_tool_calls == 2


def test_a_model_that_never_stops() -> None:
    """It is stopped by its steps where its scores rise, and by patience where they do not."""
    calls = [0]

    def wandering(prompt: str) -> str:
        calls[0] += 1
        return click(calls[0] * 7 % WIDTH, calls[0] * 5 % HEIGHT, min(0.9, calls[0] / 100))

    with behind_faults(wandering) as policy:
        rising = play(policy, count=1)
    assert [one.stopped for one in rising] == ["max_steps"]
    assert [len(one.steps) for one in rising] == [6]
    with behind_faults(lambda prompt: wandering(prompt).replace('"iou": 0', '"iou": 0.0')) as policy:
        flat = play(policy, replace(CONFIG, max_steps=50, max_policy_calls=9), count=1)
    assert flat[0].stopped in ("converged", "max_policy_calls")
    assert len(flat[0].steps) < 10


def test_a_model_that_always_stops() -> None:
    """It is asked again, says so again, and is believed: an empty mask, with both replies on record."""
    said = '{"iou": 1.0, "action": "finish", "point": null}'
    with behind_faults(lambda prompt: said) as policy:
        played = play(policy)
    for trajectory in map(reread, played):
        assert (trajectory.stopped, len(trajectory.steps)) == ("finish", 1)
        (step,) = trajectory.steps
        assert (step.action, step.text) == (Finish(), said)
        assert [(aside.text, aside.why) for aside in step.asides] == [(said, "verify: it wanted to finish")]
        assert trajectory.predicted_iou_at(0) is None
        assert not trajectory.mask_at(trajectory.returned).any()


def test_a_model_that_stops_too_early_and_thinks_better_of_it() -> None:
    def model(prompt: str) -> str:
        if "no green layer yet" in prompt:
            return click(30, 20, 1.0)
        return '{"iou": 0.99, "action": "finish"}'

    with behind_faults(model) as policy:
        (trajectory, *_) = play(policy, SearchConfig(max_steps=6))
    assert [type(step.action) for step in trajectory.steps] == [Click, Finish], (
        "a finish at 0.99 is a step, if verified"
    )
    assert trajectory.stopped == "finish"
    assert [len(step.asides) for step in trajectory.steps] == [1, 1]
    assert trajectory.mask_at(trajectory.returned).any()
    assert trajectory.returned == 1
    assert shortened(trajectory, SearchConfig(max_steps=1)).returned == 1


def test_tuned_policies_are_asked_as_ever() -> None:
    """Off: the same replies give an episode without a second question, whatever was done before."""
    prompts: list[str] = []

    def model(prompt: str) -> str:
        prompts.append(prompt)
        return click(30, 20, 0.4)

    with behind_faults(model, fmt=FORMATS["qwen3"]) as policy:
        (trajectory,) = play(policy, count=1)
    assert not any("earlier actions" in prompt or "already" in prompt for prompt in prompts)
    assert all(step.asides == () for step in trajectory.steps)
    assert "asides" not in json.dumps(trajectory.to_dict())
    assert all(step.action == Click(30, 20, True) for step in trajectory.steps)


def test_the_past_of_a_branch_is_its_own() -> None:
    """With several candidates each state remembers what led to it, and an undo is part of that."""
    seen: list[tuple[object, ...]] = []

    class Watching:
        name = "watching"

        def propose(self, observations: Any, num_proposals: int = 1, **_: Any) -> Any:
            from segagent.core import Proposal

            rows = []
            for look in observations:
                seen.append(tuple(one.action for one in look.past))
                step = len(look.past)
                acts = [Click(5 + 9 * step, 9, True), Click(5 + 9 * step, 29, True), Undo()][:num_proposals]
                score = 0.1 * step + 0.05 * float(look.mask[29].any())
                rows.append([Proposal(act, score, None, "x") for act in acts])
            return rows

    (trajectory,) = play(Watching(), SearchConfig(max_steps=3, num_candidates=2), count=1)  # type: ignore[arg-type]
    taken = tuple(step.action for step in trajectory.steps)
    assert taken[0] == Click(5, 29, True)
    assert () in seen
    for length in range(1, 4):
        assert taken[:length] in seen
    assert (Click(5, 9, True),) in seen


def freely(body: dict[str, Any]) -> bool:
    return not {"response_format", "structured_outputs", "guided_json"} & set(body)


@pytest.mark.parametrize("how", ["schema", "guided"])
def test_replies_are_held_to_a_schema_where_the_server_can(how: str) -> None:
    with Scripted(lambda body: completion(click(30, 20, 0.4))) as server:
        policy = make_openai_policy(f"qwen3@{server.url}?structured={how}&cache=off")
        play(policy, replace(CONFIG, max_steps=1), count=1)
        body = server.requests[0]
    schema = FORMAT.reply_schema(_look())
    if how == "schema":
        held = body["response_format"]
        assert held == {
            "type": "json_schema",
            "json_schema": {"name": "action", "schema": schema, "strict": True},
        }
    else:
        assert (body["structured_outputs"], body["guided_json"]) == ({"json": schema}, schema)
    assert policy.usage.not_structured == 0


REFUSALS = (
    {"error": {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported"}},
    {"error": {"message": "Unrecognized request argument supplied", "code": 400}},
    {
        "object": "error",
        "message": "The provided JSON schema contains features not supported by xgrammar.",
        "code": 400,
    },
    {"error": {"message": "Bad Request"}},
    {"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text' or 'json_object'"}]},
)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_server_without_schemas_is_asked_without_and_that_is_on_record(refusal: dict[str, Any]) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if not freely(body):
            return 400, {}, json.dumps(refusal).encode()
        assert "temperature" in body
        return completion(click(30, 20, 0.4))

    with Scripted(answer) as server:
        policy = make_openai_policy(f"qwen3@{server.url}?structured=schema&cache=off&history=2&verify=1")
        (trajectory,) = play(policy, replace(CONFIG, max_steps=2), count=1)
        refused = sum(not freely(body) for body in server.requests)
    assert refused == 1, "what is learnt about a server is kept"
    assert trajectory.usage is not None
    assert trajectory.usage.not_structured == trajectory.usage.replies > 2
    assert reread(trajectory).usage == trajectory.usage


def test_a_question_that_is_refused_for_itself_is_refused_still() -> None:
    """One that is too large is no sign that the server knows no schemas."""

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if "too large" in body["messages"][0]["content"][-1]["text"]:
            return 400, {}, b'{"error": {"message": "image too large"}}'
        return completion(click(30, 20, 0.4))

    from segagent.core import RefusedError

    with Scripted(answer) as server:
        policy = make_openai_policy(f"qwen3@{server.url}?structured=schema&cache=off")
        with pytest.raises(RefusedError, match="image too large"):
            policy.propose([replace(_look(), text="too large")])
        policy.propose([_look()])
        assert not freely(server.requests[-1])
    assert policy.usage.not_structured == 0


def test_a_server_that_tells_a_tuned_format_is_not_asked_like_a_beginner() -> None:
    from segagent.policies.chat import format_to_dict

    with Scripted(lambda body: completion("")) as server:
        server.models = [{"id": "m", "segagent_format": format_to_dict(FORMATS["qwen3"])}]
        with pytest.raises(SpecError, match="says that it was tuned in format 'qwen3'"):
            make_openai_policy(f"m@{server.url}?history=2")
        with pytest.raises(SpecError, match="expected 'schema'"):
            make_openai_policy(f"m@{server.url}?structured=1")


def _look() -> Any:
    from segagent.core import Observation, empty_mask

    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return Observation(Image.of(pixels), "the mug", empty_mask(HEIGHT, WIDTH))
