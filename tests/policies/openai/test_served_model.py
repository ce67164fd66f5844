"""The client by itself: candidates, parameters that servers refuse, failures, keys, pictures, specification strings."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import Scripted, completion
from PIL import Image as PillowImage

from segagent.core import Click, Image, InvalidAction, Observation, ReplyTokens, SegAgentError, SpecError, empty_mask
from segagent.imaging import write_bytes
from segagent.policies import with_known_format
from segagent.policies.chat import FORMAT_FILE, FORMATS, Picture, Question, format_to_dict
from segagent.policies.openai import (
    Budget,
    BudgetError,
    Patience,
    PictureEncoding,
    PolicyServerError,
    ReplyCache,
    ServedModel,
    ServedModelConfig,
    make_openai_policy,
)
from segagent.policies.openai.encoding import UrlMarks, encode_picture
from segagent.policies.openai.transport import check_url

FAST = ServedModelConfig(patience=Patience(timeout=5, retries=3, pause=0.001), concurrency=1)
PICTURE = Picture(np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3), "p")
QUESTION = Question((PICTURE,), "click")
TEXT = "Positive point: (1, 2)"
SECRET = "sk-very-secret-0123456789"


def model(server: Scripted, made: list[ServedModel], config: ServedModelConfig = FAST, **settings: Any) -> ServedModel:
    made.append(ServedModel("m", server.url, config, **settings))
    return made[-1]


def texts(replies: list[list[Any]]) -> list[list[str]]:
    return [[reply.text for reply in row] for row in replies]


def test_greedy_then_n_where_honoured(made: list[ServedModel]) -> None:
    with Scripted(lambda body: completion(*(f"{body.get('seed')}/{i}" for i in range(body.get("n", 1))))) as server:
        replies = model(server, made).reply([QUESTION], 4, temperature=0.7, seeds=[5])
    assert texts(replies) == [["None/0", "5/0", "5/1", "5/2"]]
    assert [(body["temperature"], body.get("n")) for body in server.requests] == [(0.0, None), (0.7, 3)]
    content = server.requests[0]["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]


def test_repeated_calls_where_n_is_ignored(made: list[ServedModel]) -> None:
    with Scripted(lambda body: completion(f"seed {body.get('seed')}")) as server:
        served = model(server, made)
        replies = texts(served.reply([QUESTION], 4, temperature=0.7, seeds=[5]))
        assert len(set(replies[0])) == 4
        assert ["n" in body for body in server.requests] == [False, True, False, False]
        served.reply([QUESTION], 3, temperature=0.7, seeds=[6])
    assert ["n" in body for body in server.requests[4:]] == [False] * 3
    assert served.usage.calls == 7


def refuse(parameter: str) -> tuple[int, dict[str, str], bytes]:
    return (
        400,
        {},
        json.dumps({"error": {"message": f"Unsupported parameter: '{parameter}'", "param": parameter}}).encode(),
    )


def test_parameters_are_given_up_one_by_one(made: list[ServedModel]) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        for name in ("max_tokens", "temperature", "seed", "n"):
            if name in body:
                return refuse(name)
        assert body["max_completion_tokens"] == 1024
        return completion(TEXT)

    with Scripted(answer) as server:
        served = model(server, made)
        assert texts(served.reply([QUESTION], 3, temperature=0.7, seeds=[5])) == [[TEXT] * 3]
        before = len(server.requests)
        served.reply([QUESTION], 3, temperature=0.7, seeds=[5])
    assert len(server.requests) == before + 3, "what was learnt about the server is kept"


def test_same_question_is_asked_once(made: list[ServedModel]) -> None:
    with Scripted(lambda body: completion(TEXT)) as server:
        served = model(server, made)
        assert texts(served.reply([QUESTION] * 5, 1, temperature=0.0, seeds=None)) == [[TEXT]] * 5
    assert len(server.requests) == 1


def test_retry_after_is_kept_to(made: list[ServedModel]) -> None:
    answers = iter([(429, {"retry-after": "0.3"}, b"{}"), completion(TEXT)])
    with Scripted(lambda body: next(answers)) as server:
        served = model(server, made)
        began = time.monotonic()
        served.reply([QUESTION], 1, temperature=0.0, seeds=None)
    assert time.monotonic() - began >= 0.3
    assert (served.usage.calls, served.usage.retries) == (2, 1)


def test_gives_up_with_a_reason(made: list[ServedModel]) -> None:
    with Scripted(lambda body: (503, {}, b'{"error": {"message": "busy"}}')) as server:
        with pytest.raises(PolicyServerError, match=r"still failing after 4 tries, last: HTTP 503 busy"):
            model(server, made).reply([QUESTION], 1, temperature=0.0, seeds=None)
        assert len(server.requests) == 4
    with Scripted(lambda body: (429, {}, b'{"error": {"code": "insufficient_quota", "message": "pay"}}')) as server:
        with pytest.raises(PolicyServerError, match="pay"):
            model(server, made).reply([QUESTION], 1, temperature=0.0, seeds=None)
        assert len(server.requests) == 1
    with (
        Scripted(lambda body: (429, {"retry-after": "86400"}, b"{}")) as server,
        pytest.raises(PolicyServerError, match="left alone"),
    ):
        model(server, made).reply([QUESTION], 1, temperature=0.0, seeds=None)


def test_key_goes_to_the_server_and_nowhere_else(
    made: list[ServedModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    answers = iter([completion(TEXT), (401, {}, json.dumps({"error": {"message": f"bad key {SECRET}"}}).encode())])
    with Scripted(lambda body: next(answers)) as server:
        policy = make_openai_policy(f"m@{server.url}?cache={tmp_path / 'c'}&retries=0")
        made.append(policy.model)  # type: ignore[arg-type]
        policy.model.reply([QUESTION], 1, temperature=0.0, seeds=None)
        with pytest.raises(PolicyServerError) as caught:
            policy.model.reply([Question((), "other")], 1, temperature=0.0, seeds=None)
    assert server.headers[0]["authorization"] == f"Bearer {SECRET}"
    seen = (
        str(caught.value)
        + repr(caught.value.__cause__)
        + policy.name
        + repr(vars(policy))
        + "".join(capfd.readouterr())
    )
    assert SECRET not in seen
    assert "***" in str(caught.value)
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_key_is_not_sent_in_the_clear(made: list[ServedModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGAGENT_API_KEY", SECRET)
    made.append(ServedModel("m", "http://192.0.2.1/v1", FAST))
    assert SECRET not in repr(made[-1]._transport._client.headers.raw)


def test_cut_reply_names_no_action(made: list[ServedModel]) -> None:
    look = Observation(Image.of(np.zeros((20, 20, 3), np.uint8)), "x", empty_mask(20, 20))
    with Scripted(lambda body: completion("Positive point: x=1, y=1", finish_reason="length")) as server:
        policy = make_openai_policy(f"m@{server.url}?cache=off&format=pixels")
        made.append(policy.model)  # type: ignore[arg-type]
        action = policy.propose([look])[0][0].action
    assert isinstance(action, InvalidAction)
    assert action.reason.startswith("truncated")


def test_content_in_parts_usage_and_log_probs(made: list[ServedModel]) -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Negative"}], "text": "Negative"},
        {"type": "text", "text": "Positive "},
        {"type": "text", "text": "point"},
    ]
    choice = {"message": {"content": parts}, "logprobs": {"content": [{"logprob": -1.5}, {"logprob": -0.5}]}}
    usage = {
        "prompt_tokens": 100, "completion_tokens": 7, "cost": 0.25, "prompt_tokens_details": {"cached_tokens": 64},
    }  # fmt: skip
    answer = 200, {}, json.dumps({"choices": [choice], "usage": usage}).encode()
    with Scripted(lambda body: answer) as server:
        served = model(server, made)
        replies = served.reply([QUESTION, Question((), "none")], 1, temperature=0.0, seeds=None)
    assert texts(replies) == [["Positive point"]] * 2
    assert replies[0][0].log_prob == -2.0
    used = served.usage
    assert (used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.money) == (200, 14, 128, 0.5)
    assert used.replies == 2


@pytest.mark.parametrize(
    ("tokens", "extra", "expected"),
    [
        (["Fin", "ish"], {}, ReplyTokens((-0.5, -0.25), texts=("Fin", "ish"))),
        (["token_id:7", "token_id:9"], {}, ReplyTokens((-0.5, -0.25), ids=(7, 9))),
        (["Fin", "ish"], {"token_ids": [7, 9]}, ReplyTokens((-0.5, -0.25), ids=(7, 9))),
        (["Fin", "ish"], {"token_ids": [7]}, ReplyTokens((-0.5, -0.25), texts=("Fin", "ish"))),
    ],
)
def test_tokens_are_kept_where_that_is_asked_for(
    made: list[ServedModel], tmp_path: Path, tokens: list[str], extra: dict[str, Any], expected: ReplyTokens
) -> None:
    listed = [{"token": one, "logprob": value} for one, value in zip(tokens, (-0.5, -0.25), strict=True)]
    choice = {"message": {"content": "Finish"}, "logprobs": {"content": listed}, **extra}
    keeping = replace(FAST, log_probs=True, keep_tokens=True)
    with Scripted(lambda body: (200, {}, json.dumps({"choices": [choice]}).encode())) as server:
        for config in (FAST, keeping, keeping):
            cached = model(server, made, config, cache=ReplyCache(tmp_path))
            (reply,) = cached.reply([QUESTION], 1, temperature=0.0, seeds=None)[0]
            assert reply.tokens == (expected if config.keep_tokens else None)
            assert reply.log_prob == -0.75
    assert [body.get("logprobs") for body in server.requests] == [None, True]  # The third reply was in the cache.


def test_pictures_are_sent_as_asked(made: list[ServedModel]) -> None:
    lossless = Picture(PICTURE.pixels, "q", lossless=True)
    with Scripted(lambda body: completion(TEXT)) as server:
        model(server, made).reply([Question((PICTURE, lossless), "x")], 1, temperature=0.0, seeds=None)
    urls = [part["image_url"]["url"] for part in server.requests[0]["messages"][0]["content"][:2]]
    assert [url[:16] for url in urls] == ["data:image/jpeg;", "data:image/png;b"]
    decoded = np.array(PillowImage.open(io.BytesIO(base64.b64decode(urls[1].partition(",")[2]))))
    np.testing.assert_array_equal(decoded, PICTURE.pixels)


@pytest.mark.parametrize("compress", [True, False, None])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (12, 16), (3, 501), (301, 400)])
def test_lossless_pictures_arrive_bit_for_bit(compress: bool | None, height: int, width: int) -> None:
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    url = encode_picture(pixels, PictureEncoding("png", compress=compress), lossless=False)
    head, _, content = url.partition(b",")
    assert head == b"data:image/png;base64"
    with PillowImage.open(io.BytesIO(base64.b64decode(content))) as opened:
        opened.verify()
    with PillowImage.open(io.BytesIO(base64.b64decode(content))) as opened:
        np.testing.assert_array_equal(np.asarray(opened), pixels)


def test_pngs_are_compressed_for_other_machines_only(made: list[ServedModel]) -> None:
    flat = np.full((40, 50, 3), 7, np.uint8)
    here = encode_picture(flat, PictureEncoding(compress=False), lossless=True)
    away = encode_picture(flat, PictureEncoding(compress=True), lossless=True)
    assert len(here) > 6000
    assert len(away) < 1000
    for url, expected in (("http://127.0.0.1:9/v1", here), ("https://example.org/v1", away)):
        made.append(ServedModel("m", url, FAST))
        assert made[-1]._pictures.url(Picture(flat, "k", lossless=True)) == expected
    large = np.zeros((1500, 1500, 3), np.uint8)
    assert len(encode_picture(large, PictureEncoding(compress=False), lossless=True)) < 100_000


def test_bodies_hold_the_urls_and_prompts_as_they_are() -> None:
    marks = UrlMarks()
    body = {"a": [marks.mark(1), "\ud800 data-url-0;"], "b": marks.mark(0), "c": "data-url-"}
    assert json.loads(marks.encoded(body, [b"data:x", b"data:y"])) == {
        "a": ["data:y", "\ud800 data-url-0;"],
        "b": "data:x",
        "c": "data-url-",
    }


def test_cache_survives_damage(tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite").write_bytes(b"this is no database, whatever its name says" * 50)
    with pytest.raises(SegAgentError, match="cache=off"):
        ReplyCache(tmp_path)


def test_a_call_under_way_when_the_budget_ends_is_kept(made: list[ServedModel], tmp_path: Path) -> None:
    def answer(_: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.2)
        return completion(TEXT)

    with Scripted(answer) as server:
        served = model(server, made, ServedModelConfig(budget=Budget(calls=1)), cache=ReplyCache(tmp_path))
        other = Question((PICTURE,), "another click")
        with pytest.raises(BudgetError):
            served.reply([QUESTION, other], 1, temperature=0.0, seeds=None)
        again = model(server, made, cache=ReplyCache(tmp_path))
        again.reply([QUESTION, other], 1, temperature=0.0, seeds=None)
    assert (again.usage.cached, len(server.requests)) == (1, 2)


def test_an_answer_that_arrives_while_stopping_is_kept(made: list[ServedModel], tmp_path: Path) -> None:
    def answer(_: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        made[-1]._transport.stop()
        return completion(TEXT)

    with Scripted(answer) as server:
        served = model(server, made, cache=ReplyCache(tmp_path))
        assert texts(served.reply([QUESTION], 1, temperature=0.0, seeds=None)) == [[TEXT]]
        with pytest.raises(PolicyServerError, match="stopped"):
            served.reply([QUESTION], 2, temperature=0.5, seeds=[1])


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("https://host/api/v3/", "https://host/api/v3"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("http://[::1]:80/v1", "http://[::1]:80/v1"),
    ],
)
def test_url(given: str, base: str) -> None:
    assert check_url(given) == base


@pytest.mark.parametrize(
    "rest",
    [
        "model",
        "model@",
        "@http://host",
        "model@ftp://host",
        "model@http://user:pw@host/v1",
        "model@http://host:99999/v1",
        "model@http://host/v1?calls=-1",
        "model@http://host/v1?image=gif",
        "model@http://host/v1?api_key=1",
        "model@http://host/v1?format=nonsense",
    ],
)
def test_unusable_specifications(rest: str) -> None:
    with pytest.raises(SpecError) as caught:
        make_openai_policy(rest)
    assert "user:pw" not in str(caught.value)


def test_format_follows_the_models_name(made: list[ServedModel]) -> None:
    for name, fmt in (("google/gemini-2.5-pro", "gemini"), ("gpt-5", "gpt"), ("mystery", "qwen3")):
        policy = make_openai_policy(f"{name}@http://127.0.0.1:9/v1?cache=off&calls=5")
        made.append(policy.model)  # type: ignore[arg-type]
        assert policy.format == FORMATS[fmt]
        assert policy.name == f"openai:{name}@http://127.0.0.1:9/v1?cache=off&calls=5"


def test_a_served_model_tells_its_format(made: list[ServedModel], tmp_path: Path) -> None:
    """It goes before the name and gives way to an option; of several models it is the one that is asked for."""
    told = format_to_dict(FORMATS["molmo"].with_changes(name="mine"))
    write_bytes(tmp_path / FORMAT_FILE, json.dumps(format_to_dict(FORMATS["paper-unit"])).encode())
    with Scripted(lambda body: completion(TEXT)) as server:
        server.models = [
            {"id": "qwen3-a", "segagent_format": told},
            {"id": "b", "root": str(tmp_path)},
            {"id": "gemini-c"},
        ]
        expected = {"qwen3-a": "mine", "b": "paper-unit", "gemini-c": "gemini", "qwen3-a?format=gpt": "gpt"}
        for spec, name in expected.items():
            model_name, _, option = spec.partition("?")
            policy = make_openai_policy(f"{model_name}@{server.url}?cache=off&{option}".rstrip("&"))
            made.append(policy.model)  # type: ignore[arg-type]
            assert (policy.format.name, policy.format_is_guessed) == (name, "")
        server.models = [{"id": "whatever", "segagent_format": told}]
        policy = make_openai_policy(f"my-model@{server.url}?cache=off")
        made.append(policy.model)  # type: ignore[arg-type]
        assert (policy.format.name, policy.format_is_told) == ("mine", True)
        server.models[0]["segagent_format"] = {"name": "broken"}
        with pytest.raises(SegAgentError, match="/models: not a chat format"):
            make_openai_policy(f"my-model@{server.url}?cache=off")
        assert server.requests == []


def test_a_format_that_nothing_speaks_for_is_said_to_be_a_guess(made: list[ServedModel]) -> None:
    look = Observation(Image.of(np.zeros((20, 20, 3), np.uint8)), "x", empty_mask(20, 20))
    with Scripted(lambda body: completion('{"action": "finish"}')) as server:
        policy = make_openai_policy(f"acme@{server.url}?cache=off")
        made.append(policy.model)  # type: ignore[arg-type]
        with pytest.warns(UserWarning, match="segagent doctor"):
            policy.propose([look])
        with pytest.raises(SpecError, match="segagent doctor"):
            with_known_format(policy)


def test_whole_policy(made: list[ServedModel]) -> None:
    look = Observation(Image.of(np.zeros((480, 640, 3), np.uint8)), "the mug", empty_mask(480, 640))
    reply = 'I see it. ```json\n{"action": "positive", "point": [500, 250], "iou": 0}\n```'
    with Scripted(lambda body: completion(reply)) as server:
        policy = make_openai_policy(f"gemini@{server.url}?cache=off")
        made.append(policy.model)  # type: ignore[arg-type]
        (proposal,) = policy.propose([look])[0]
    assert proposal.action == Click(160, 240, positive=True)
    assert proposal.predicted_iou == 0.0
