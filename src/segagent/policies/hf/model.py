"""A chat model out of a checkpoint of the transformers library, run in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from segagent.policies.chat import Question, Reply, Usage
from segagent.policies.hf.decoding import Written, write_replies
from segagent.policies.hf.loading import Checkpoint
from segagent.policies.hf.prompts import encode_questions, end_tokens


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

    @property
    def usage(self) -> Usage:
        """See :class:`segagent.policies.chat.ChatModel`. Here ``calls`` counts batches."""
        return self._usage

    def reply(
        self, questions: Sequence[Question], num_replies: int, *, temperature: float, seeds: Sequence[int] | None
    ) -> list[list[Reply]]:
        """See :class:`segagent.policies.chat.ChatModel`."""
        if seeds is None:
            seeds = [int(seed) for seed in np.random.default_rng().integers(2**62, size=len(questions))]
        replies: list[list[Reply]] = []
        for start in range(0, len(questions), self._batch_size):
            part = slice(start, start + self._batch_size)
            replies += self._reply(questions[part], num_replies, temperature, seeds[part])
        return replies

    def _reply(
        self, questions: Sequence[Question], num_replies: int, temperature: float, seeds: Sequence[int]
    ) -> list[list[Reply]]:
        began = time.perf_counter()
        tokenizer = self.checkpoint.tokenizer
        inputs = self._inputs(questions)
        written = write_replies(
            self.checkpoint.model,
            inputs,
            num_replies,
            temperature=temperature,
            seeds=seeds,
            max_new_tokens=self._max_new_tokens,
            end_tokens=self._end_tokens,
            pad_token=tokenizer.pad_token_id,
        )
        seconds = (time.perf_counter() - began) / len(questions)
        used = self._usage
        self._usage = Usage(
            calls=used.calls + 1,
            replies=used.replies + len(questions) * num_replies,
            prompt_tokens=used.prompt_tokens + int(inputs["attention_mask"].sum()),
            completion_tokens=used.completion_tokens + sum(len(one.tokens) for row in written for one in row),
            seconds=used.seconds + seconds * len(questions),
        )
        read = inputs["attention_mask"].sum(dim=1).tolist()
        return [
            [self._text(one, _cost(one, int(tokens) if index == 0 else 0, seconds)) for index, one in enumerate(row)]
            for row, tokens in zip(written, read, strict=True)
        ]

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
