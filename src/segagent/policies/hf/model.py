"""A chat model out of a checkpoint of the transformers library, run in this process."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from segagent.core.ahead import one_ahead
from segagent.policies.chat import Question, Reply, Usage
from segagent.policies.hf.decoding import Prompts, Writing, Written, write_replies
from segagent.policies.hf.loading import Checkpoint
from segagent.policies.hf.prompts import encode_questions, end_tokens
from segagent.policies.hf.rows import can_join


class LocalModel:
    """See the module. ``batch_size``: prompts read at once; ``max_new_tokens``: the longest reply; ``keep_tokens``:
    whether replies come with their tokens.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, batch_size: int = 8, max_new_tokens: int = 256, keep_tokens: bool = False
    ) -> None:
        self.checkpoint = checkpoint
        self._batch_size = batch_size
        self._max_new_tokens = max_new_tokens
        self._keep_tokens = keep_tokens
        self._usage = Usage()
        self._end_tokens = end_tokens(checkpoint)
        self._joins = can_join(checkpoint.model.config)

    @property
    def usage(self) -> Usage:
        """See :class:`segagent.policies.chat.ChatModel`. Here ``calls`` counts batches."""
        return self._usage

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        """See :class:`segagent.policies.chat.ChatModel`."""
        if not questions:
            return []
        if seeds is None:
            seeds = [int(seed) for seed in np.random.default_rng().integers(2**62, size=len(questions))]
        began = time.perf_counter()
        starts = self._starts(len(questions))
        read: list[int] = []
        made = self._batches(questions, seeds, starts, read)
        writing = Writing(
            num_replies,
            temperature,
            self._max_new_tokens,
            self._end_tokens,
            self.checkpoint.tokenizer.pad_token_id,
        )
        # While the model writes, a thread makes the next batch ready; with one batch there is nothing to be gained.
        with closing(one_ahead(made) if len(starts) > 1 else made) as batches:
            written = write_replies(self.checkpoint.model, batches, writing, at_once=self._batch_size)
        seconds = time.perf_counter() - began
        self._usage = replace(
            self._usage,
            calls=self._usage.calls + len(starts),
            replies=self._usage.replies + len(questions) * num_replies,
            prompt_tokens=self._usage.prompt_tokens + sum(read),
            completion_tokens=self._usage.completion_tokens + sum(len(one.tokens) for row in written for one in row),
            seconds=self._usage.seconds + seconds,
        )
        each = seconds / len(questions)
        return [
            [self._text(one, _cost(one, tokens if index == 0 else 0, each)) for index, one in enumerate(row)]
            for row, tokens in zip(written, read, strict=True)
        ]

    def _starts(self, count: int) -> list[int]:
        """Where the batches of so many questions begin: one as large as there is room, behind it halves of that where
        they can join what is being written, for half of the replies are over long before the last one is.
        """
        size = self._batch_size
        return [0, *range(size, count, max(1, size // 2) if self._joins else size)]

    def _batches(
        self, questions: Sequence[Question], seeds: Sequence[int], starts: Sequence[int], read: list[int]
    ) -> Generator[Prompts, None, None]:
        """The batches that begin at ``starts``, each made when it is asked for; ``read`` gets the prompts' lengths."""
        for start, end in zip(starts, [*starts[1:], len(questions)], strict=True):
            inputs = self._inputs(questions[start:end])
            read += inputs["attention_mask"].sum(dim=1).tolist()
            yield inputs, seeds[start:end]

    def _inputs(self, questions: Sequence[Question]) -> Any:
        """The batch of prompts as tensors on the model's device, pictures before text."""
        model = self.checkpoint.model
        # Pictures take the model's number type, ids keep theirs.
        return encode_questions(self.checkpoint.processor, questions).to(model.device, dtype=model.dtype)

    def _text(self, written: Written, usage: Usage) -> Reply:
        # Special tokens are kept: some families write <box> and <think> with them.
        text = self.checkpoint.tokenizer.decode(list(written.tokens), skip_special_tokens=False)
        kept = written.whole if self._keep_tokens else None
        return Reply(text, written.log_prob, written.cut, usage, tokens=kept)


def _cost(written: Written, prompt_tokens: int, seconds: float) -> Usage:
    """Of one reply. The first one to a question, with ``prompt_tokens`` above 0, bears the call and its ``seconds``."""
    first = prompt_tokens > 0
    return Usage(int(first), 1, 0, 0, prompt_tokens, len(written.tokens), seconds if first else 0.0)
