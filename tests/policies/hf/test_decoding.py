"""Replies written in batches that rows leave and join, against one prompt at a time without any cache."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
import transformers
from tiny_checkpoints import make_llava, make_qwen25, make_qwen_vl

from segagent.policies.chat import Picture, Question
from segagent.policies.hf import decoding
from segagent.policies.hf.decoding import Writing, Written, write_replies
from segagent.policies.hf.loading import Checkpoint, load_checkpoint
from segagent.policies.hf.model import LocalModel
from segagent.policies.hf.prompts import encode_questions
from segagent.policies.hf.rows import can_join

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "presets"))
from tiny_families import MAKERS

FAMILIES = {
    "qwen2.5": make_qwen25,
    "qwen3.5": MAKERS["qwen3_5"],
    "llava": make_llava,
    "qwen-vl": make_qwen_vl,
}
TEXTS = ("the mug", "x", "a longer thing over there", "", "two", "three of them")
SEEDS = [3, 1, 4, 1, 5, 9]
QUESTIONS = [
    Question(
        (Picture(np.random.default_rng(number).integers(0, 256, (40 + 9 * number, 60, 3), np.uint8), str(number)),),
        text,
    )
    for number, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        name: load_checkpoint(str(make(folder / name)), device="cpu", dtype=None) for name, make in FAMILIES.items()
    }


def short(checkpoint: Checkpoint, num_replies: int = 2) -> Writing:
    """Replies of a few tokens and of different lengths: an eighth of all tokens end one, special ones among them."""
    size = checkpoint.model.config.get_text_config().vocab_size
    closing = {*range(0, size, 8), *checkpoint.tokenizer.get_added_vocab().values()}
    return Writing(num_replies, 1.0, 10, frozenset(closing), checkpoint.tokenizer.pad_token_id)


def one_by_one(checkpoint: Checkpoint, question: Question, seed: int, writing: Writing) -> list[Written]:
    """What is to come out: the whole prompt is read anew for every token, and each number drawn when it is needed."""
    result = []
    for reply in range(writing.num_replies):
        inputs = dict(encode_questions(checkpoint.processor, [question]))
        draw = np.random.default_rng([seed, reply])
        ids: list[int] = []
        costs: list[float] = []
        while len(ids) < writing.max_new_tokens and not (ids and ids[-1] in writing.end_tokens):
            logits = checkpoint.model(**inputs).logits[0, -1].float()
            token = int(logits.argmax())
            if reply:
                shares = torch.softmax(logits.double() / writing.temperature, -1).cumsum(-1)
                token = int(torch.searchsorted(shares, draw.random() * shares[-1], right=True))
            ids.append(token)
            costs.append(float(torch.log_softmax(logits, -1)[token]))
            for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
                if name in inputs:
                    value = {"input_ids": token, "attention_mask": 1, "mm_token_type_ids": 0}[name]
                    inputs[name] = torch.cat([inputs[name], torch.tensor([[value]])], dim=1)
        cut = ids[-1] not in writing.end_tokens
        whole = decoding.ReplyTokens(tuple(costs), tuple(ids))
        result.append(Written(tuple(ids if cut else ids[:-1]), sum(costs), cut, whole))
    return result


def batches(checkpoint: Checkpoint, *sizes: int) -> list[decoding.Prompts]:
    ends = np.cumsum([0, *sizes])
    parts = [slice(int(first), int(end)) for first, end in pairwise(ends)]
    return [(encode_questions(checkpoint.processor, QUESTIONS[part]), SEEDS[part]) for part in parts]


def check_same(made: list[list[Written]], wanted: list[list[Written]]) -> None:
    assert [[one.whole.ids for one in row] for row in made] == [[one.whole.ids for one in row] for row in wanted]
    for mine, theirs in zip(made, wanted, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            assert (one.tokens, one.cut) == (other.tokens, other.cut)
            assert one.whole.log_probs == pytest.approx(other.whole.log_probs, abs=1e-4)
            assert one.log_prob == pytest.approx(other.log_prob, abs=1e-3)


@contextmanager
def watched(checkpoint: Checkpoint) -> Iterator[list[tuple[int, int, int]]]:
    """Of each call of the model: rows, tokens that it reads, tokens that its cache holds."""
    calls: list[tuple[int, int, int]] = []

    def note(model: Any, args: Any, called: dict[str, Any]) -> None:
        del model, args
        calls.append((*called["input_ids"].shape, called["past_key_values"].get_seq_length()))

    hook = checkpoint.model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def wanted(loaded: dict[str, Checkpoint]) -> dict[str, list[list[Written]]]:
    with torch.no_grad():
        return {
            name: [
                one_by_one(checkpoint, question, seed, short(checkpoint))
                for question, seed in zip(QUESTIONS, SEEDS, strict=True)
            ]
            for name, checkpoint in loaded.items()
        }


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_replies_are_those_of_one_prompt_at_a_time(
    name: str,
    late: bool,
    loaded: dict[str, Checkpoint],
    wanted: dict[str, list[list[Written]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However prompts are batched, and whether the host knows at once which replies are over, or a token later."""
    checkpoint = loaded[name]
    writing = short(checkpoint)
    lengths = {len(one.whole.ids) for row in wanted[name] for one in row}
    assert len(lengths) > 3, "replies that are over at different times"
    if late:
        monkeypatch.setattr(decoding, "_Over", lambda device, own=decoding._Over: own(device, late=True))
    for sizes in ((6,), (2, 1, 1, 1, 1), (1, 3, 2)):
        made = write_replies(checkpoint.model, batches(checkpoint, *sizes), writing, at_once=max(sizes))
        check_same(made, wanted[name])


@pytest.mark.parametrize(("name", "joins"), [("qwen2.5", True), ("qwen3.5", False)])
def test_rows_that_are_over_make_room(name: str, joins: bool, loaded: dict[str, Checkpoint]) -> None:
    checkpoint = loaded[name]
    assert can_join(checkpoint.model.config) == joins
    prompts = batches(checkpoint, 2, 1, 1, 1, 1)
    with watched(checkpoint) as calls:
        made = write_replies(checkpoint.model, prompts, short(checkpoint), at_once=2)
    tokens = [rows for rows, read, _ in calls if read == 1]
    assert max(tokens) <= 2 * 2
    assert min(tokens) == 1
    reading = [place for place, (_, read, _) in enumerate(calls) if read > 1]
    assert len(reading) == 5
    # Where rows join, prompts are read while other replies are being written; what follows is about both.
    assert any(calls[place + 1][0] > 2 for place in reading[1:-1]) == joins
    lengths = [[len(one.whole.ids) for one in row] for row in made]
    lockstep = sum(
        2 * len(part) * (max(max(row) for row in part) - 1) for part in (lengths[:2], *([r] for r in lengths[2:]))
    )
    assert sum(tokens) < lockstep


def test_a_cache_that_many_replies_pass_through_does_not_grow_on(loaded: dict[str, Checkpoint]) -> None:
    """What only prompts that are gone have needed is cut off, or a long queue would fill the memory."""
    checkpoint = loaded["qwen2.5"]
    many = 6 * batches(checkpoint, 1, 1, 1, 1, 1, 1)
    with watched(checkpoint) as calls:
        write_replies(checkpoint.model, many, short(checkpoint, 1), at_once=2)
    assert sum(rows > 1 for rows, _, _ in calls) > 20
    longest = max(inputs["input_ids"].shape[1] for inputs, _ in many)
    assert max(held for _, _, held in calls) <= longest + 2 * 10


def test_one_reply_without_samples(loaded: dict[str, Checkpoint], wanted: dict[str, list[list[Written]]]) -> None:
    checkpoint = loaded["llava"]
    made = write_replies(checkpoint.model, batches(checkpoint, 4, 2), short(checkpoint, 1), at_once=4)
    check_same(made, [row[:1] for row in wanted["llava"]])
    assert write_replies(checkpoint.model, [], short(checkpoint)) == []


def test_batches_are_made_ready_ahead(loaded: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(loaded["qwen2.5"], batch_size=2, max_new_tokens=4)
    asked: list[tuple[int, str]] = []
    own = model._inputs

    def watched(questions: Any) -> Any:
        asked.append((len(questions), threading.current_thread().name))
        return own(questions)

    monkeypatch.setattr(model, "_inputs", watched)
    replies = model.reply(QUESTIONS, 2, temperature=1.0, seeds=SEEDS)
    assert [size for size, _ in asked] == [2, 1, 1, 1, 1]
    assert all(thread.startswith("segagent-ahead") for _, thread in asked)
    assert model.usage.calls == 5
    assert model.usage.replies == 12
    parts = [one.usage for row in replies for one in row]
    assert [part.calls for part in parts if part] == [1, 0] * 6
    assert sum(part.prompt_tokens for part in parts if part) == model.usage.prompt_tokens
    assert sum(part.seconds for part in parts if part) == pytest.approx(model.usage.seconds)
    asked.clear()
    alone = [
        model.reply([question], 2, temperature=1.0, seeds=[seed])[0]
        for question, seed in zip(QUESTIONS, SEEDS, strict=True)
    ]
    assert [[one.text for one in row] for row in alone] == [[one.text for one in row] for row in replies]
    assert not any(thread.startswith("segagent-ahead") for _, thread in asked)


def test_what_goes_wrong_ahead_is_raised(loaded: dict[str, Checkpoint], monkeypatch: pytest.MonkeyPatch) -> None:
    model = LocalModel(loaded["qwen2.5"], batch_size=2, max_new_tokens=4)
    before = threading.active_count()
    own = model._inputs

    def broken(questions: Any) -> Any:
        if questions[0] is QUESTIONS[3]:
            raise RuntimeError("no such picture")
        return own(questions)

    monkeypatch.setattr(model, "_inputs", broken)
    with pytest.raises(RuntimeError, match="no such picture"):
        model.reply(QUESTIONS, 1, temperature=0.0, seeds=SEEDS)
    assert threading.active_count() == before
    assert model.usage.calls == 0
    assert len(model.reply(QUESTIONS[:3], 1, temperature=0.0, seeds=SEEDS[:3])) == 3
