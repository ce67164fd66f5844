"""What gateways send instead of a reply: told, tried again only where that can help, never in the cache."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Scripted, completion

from segagent.policies.chat import Picture, Question
from segagent.policies.openai import (
    Patience,
    PolicyServerError,
    QuestionRefusedError,
    ReplyCache,
    ServedModel,
    ServedModelConfig,
)

FAST = ServedModelConfig(patience=Patience(timeout=20, retries=4, pause=0.001, max_pause=0.002))
QUESTION = Question((Picture(np.zeros((4, 4, 3), np.uint8), "p"),), "click")
TEXT = "Positive point: (1, 2)"


def choice(content: object = None, finish: object = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more.pop("message", {})}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish, **more}]}


def error(message: str, code: object = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **({} if code is None else {"code": code}), **more}}


FAILURES: list[tuple[int, Any, str, int, bool]] = [
    # status, body, words told, calls, whether it is this question's alone
    (200, {"choices": None, **error("Insufficient credits", 402)}, "Insufficient credits", 1, False),
    (200, error("No endpoints found for x", 404), "No endpoints found", 1, False),
    (200, error("Model x is not available", 400), "is not available", 1, True),
    (200, error("slow down", 429), "slow down", 5, False),
    (200, error("Provider returned error", 502, metadata={"raw": "upstream broke"}), "upstream broke", 5, False),
    (200, {"error": "model 'x' not found, try pulling it first"}, "not found", 1, False),
    (200, error("Overloaded", type="overloaded_error"), "Overloaded", 5, False),
    (200, {"object": "error", "message": "too long for the context", "code": 400}, "too long", 1, True),
    (200, {"choices": None}, "no chat completion", 5, True),
    (200, {"choices": []}, "no chat completion", 5, True),
    (200, {"base_resp": {"status_code": 1004, "status_msg": "login fail"}, "choices": None}, "login fail", 1, False),
    (200, choice("half a", "error", error={"message": "upstream died", "code": 502}), "upstream died", 5, True),
    (200, choice("", "error", native_finish_reason="x"), "error", 5, True),
    (200, choice("Positive point: (1, 2)", "error"), "error", 5, True),
    (200, choice("", "insufficient_system_resource"), "insufficient_system_resource", 5, True),
    (200, choice(None), "empty", 3, True),
    (200, choice("  \n"), "empty", 3, True),
    (200, choice(None, message={"reasoning_content": "It is at (1, 2), positive"}), "reasoning", 3, True),
    (200, choice([{"type": "thinking", "thinking": "(1, 2)"}]), "empty", 3, True),
    (200, choice(None, "content_filter"), "content_filter", 1, True),
    (200, choice("Positive po", "content_filter"), "content_filter", 1, True),
    (200, choice(None, "content_filter: PROHIBITED_CONTENT"), "prohibited", 1, True),
    (200, choice(None, message={"refusal": "I cannot help with that"}), "cannot help", 1, True),
    (200, choice(None, "sensitive"), "sensitive", 1, True),
    (400, error("filtered due to policy", "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
     "ResponsibleAI", 1, True),
    (400, error("Output data may contain inappropriate content.", "data_inspection_failed"), "inappropriate", 1, True),
    (403, error("Requires moderation", 403, metadata={"reasons": ["sexual"]}), "moderation", 1, True),
    (403, error("forbidden"), "forbidden", 1, False),
    (401, [error("API key not valid", 401, status="UNAUTHENTICATED")], "API key not valid", 1, False),
    (400, [error("Unable to process input image", 400)], "Unable to process", 1, True),
    (422, {"detail": [{"loc": ["body", "messages"], "msg": "field required"}]}, "field required", 1, True),
    (413, b"<html>Too Large</html>", "413", 1, True),
    (500, b"Internal Server Error", "500", 5, False),
    (503, error("Loading model", 503), "Loading model", 5, False),
    (429, error("You exceeded your current quota", "insufficient_quota"), "quota", 1, False),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "words", "calls", "own"), FAILURES)
def test_a_failed_call_is_told_and_not_kept(
    status: int, body: Any, words: str, calls: int, own: bool, made: list[ServedModel], tmp_path: Path
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    cache = ReplyCache(tmp_path)
    with Scripted(lambda _: (status, {}, content)) as server:
        made.append(ServedModel("m", server.url, FAST, cache))
        with pytest.raises(PolicyServerError) as caught:
            made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
    assert words.lower() in str(caught.value).lower()
    assert isinstance(caught.value, QuestionRefusedError) == own
    assert len(server.requests) == calls
    assert cache._database.execute("SELECT count(*) FROM replies").fetchone() == (0,)


@pytest.mark.parametrize("body", [error("busy", 429), {"choices": None}, choice(None), choice("x", "error")])
def test_a_failure_that_passes_costs_a_retry(body: Any, made: list[ServedModel]) -> None:
    answers = iter([(200, {}, json.dumps(body).encode()), completion(TEXT)])
    with Scripted(lambda _: next(answers)) as server:
        made.append(ServedModel("m", server.url, FAST))
        (row,) = made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
    assert (row[0].text, made[-1].usage.retries) == (TEXT, 1)


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS", "model_length"])
def test_a_reply_that_was_stopped_is_one(reason: str, made: list[ServedModel]) -> None:
    content = json.dumps(choice(None, reason, message={"reasoning": "(1, 2)"})).encode()
    with Scripted(lambda _: (200, {}, content)) as server:
        made.append(ServedModel("m", server.url, FAST))
        (row,) = made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
    assert (row[0].text, row[0].cut) == ("", True)


def test_an_empty_reply_that_was_kept_before_is_asked_for_again(made: list[ServedModel], tmp_path: Path) -> None:
    with Scripted(lambda _: completion(TEXT)) as server:
        made.append(ServedModel("m", server.url, FAST, ReplyCache(tmp_path)))
        made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
        cache = ReplyCache(tmp_path)
        cache._database.execute(
            "UPDATE replies SET reply = ?", (json.dumps({"text": "", "log_prob": None, "cut": False}),)
        )
        made.append(ServedModel("m", server.url, FAST, cache))
        for _ in range(2):
            assert made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)[0][0].text == TEXT
    assert len(server.requests) == 2


REFUSALS: list[tuple[str, int, Any]] = [
    ("n", 500, error("Only one completion choice is allowed", 500)),
    ("n", 500, b"Internal Server Error"),
    ("n", 501, error("not implemented")),
    ("n", 400, error("n > 1 is not supported")),
    ("n", 400, {"object": "error", "message": "Range of n should be [1, 1]", "code": 400}),
    ("n", 422, {"detail": [{"loc": ["body", "n"], "msg": "extra fields not permitted", "type": "value_error.extra"}]}),
    ("n", 400, [error("Multiple candidates is not enabled for this model", 400)]),
    ("seed", 400, [error('Invalid JSON payload received. Unknown name "seed": Cannot find field.', 400)]),
    ("seed", 500, error("ollama does not support parameters: {'seed': 1}, for model=llama3", 500)),
    ("seed", 200, error("Unsupported parameter: seed", 400)),
    ("seed", 400, error("Unrecognized request argument supplied: seed")),
    ("temperature", 400, error("temperature: this model takes no other value than 1")),
    ("temperature", 422, {"detail": [{"loc": ["body", "temperature"], "msg": "Extra inputs are not permitted"}]}),
    ("temperature", 400, error("Extra fields are not permitted")),
    ("max_tokens", 400, error("Unsupported parameter: max_tokens. Use max_completion_tokens", param="max_tokens")),
]


@pytest.mark.parametrize(("name", "status", "body"), REFUSALS)
def test_a_refused_parameter_is_given_up(
    name: str, status: int, body: Any, made: list[ServedModel], tmp_path: Path
) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(asked: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        return (status, {}, content) if name in asked else completion(TEXT)

    with Scripted(answer) as server:
        made.append(ServedModel("m", server.url, FAST, ReplyCache(tmp_path)))
        (row,) = made[-1].reply([QUESTION], 3, temperature=0.7, seeds=[5])
        assert [reply.text for reply in row] == [TEXT] * 3
        before = len(server.requests)
        made[-1].reply([QUESTION], 3, temperature=0.7, seeds=[6])
        # The greedy reply is the old one; what was learnt about the server is kept.
        assert all(name not in asked for asked in server.requests[before:])
        sampled = name == "temperature"
        assert [reply.greedy for reply in row] == [not sampled, True, True]
        assert made[-1].usage.not_greedy == sampled
        again = ServedModel("m", server.url, FAST, ReplyCache(tmp_path))
        made.append(again)
        assert again.reply([QUESTION], 1, temperature=0.0, seeds=None)[0][0].greedy is not sampled


def test_a_limit_refused_for_its_value_is_not_left_out(made: list[ServedModel]) -> None:
    body = error("'max_tokens' or 'max_completion_tokens' is too large: 1024")
    with Scripted(lambda _: (400, {}, json.dumps(body).encode())) as server:
        made.append(ServedModel("m", server.url, FAST))
        with pytest.raises(QuestionRefusedError, match="too large"):
            made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
    assert all({"max_tokens", "max_completion_tokens"} & set(asked) for asked in server.requests)


def test_one_failed_candidate_is_asked_for_by_itself(made: list[ServedModel]) -> None:
    def answer(asked: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        if asked.get("n") != 3:
            return completion("alone")
        whole = json.loads(completion("a", "b", "c")[2])
        whole["choices"][1] = {"index": 1, "message": {"content": None}, "finish_reason": "error"}
        return 200, {}, json.dumps(whole).encode()

    with Scripted(answer) as server:
        made.append(ServedModel("m", server.url, FAST))
        (row,) = made[-1].reply([QUESTION], 4, temperature=0.7, seeds=[5])
    assert [reply.text for reply in row] == ["alone", "a", "alone", "c"]


def test_a_server_that_refuses_everything_is_not_asked_for_ever(made: list[ServedModel]) -> None:
    with Scripted(lambda _: (400, {}, b'{"error": {"message": "no images please"}}')) as server:
        made.append(ServedModel("m", server.url, FAST))
        for number in range(8):
            with pytest.raises(QuestionRefusedError):
                made[-1].reply([Question((), str(number))], 1, temperature=0.0, seeds=None)
        with pytest.raises(PolicyServerError, match="all of the first 9 questions") as caught:
            made[-1].reply([Question((), "last")], 1, temperature=0.0, seeds=None)
    assert not isinstance(caught.value, QuestionRefusedError)


def test_options_of_newer_models_are_sent(made: list[ServedModel]) -> None:
    from segagent.policies.openai import make_openai_policy

    with Scripted(lambda _: completion(TEXT)) as server:
        policy = make_openai_policy(f"gpt-5@{server.url}?cache=off&max_completion_tokens=77&reasoning_effort=low")
        made.append(policy.model)  # type: ignore[arg-type]
        made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
    (asked,) = server.requests
    assert (asked["max_completion_tokens"], asked["reasoning_effort"], "max_tokens" in asked) == (77, "low", False)


@pytest.mark.parametrize(
    ("usage", "cached", "money"),
    [
        ({"prompt_tokens": 9, "cost": 0.5, "prompt_tokens_details": {"cached_tokens": 4}}, 4, 0.5),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 3}, 3, 0.0),
        ({"prompt_tokens": 9, "cost": {"total_cost": 0.25}, "cache_read_input_tokens": 2}, 2, 0.25),
        ({"prompt_tokens": -5, "cost": -1, "prompt_tokens_details": None}, 0, 0.0),
        ({"prompt_tokens": True, "cost": "much"}, 0, 0.0),
    ],
)
def test_cost_as_the_server_tells_it(usage: dict[str, Any], cached: int, money: float, made: list[ServedModel]) -> None:
    with Scripted(lambda _: completion(TEXT, usage=usage)) as server:
        made.append(ServedModel("m", server.url, FAST))
        made[-1].reply([QUESTION], 1, temperature=0.0, seeds=None)
    used = made[-1].usage
    assert (used.cached_tokens, used.money) == (cached, money)
    assert used.prompt_tokens in (0, 9)
