"""A chat model out of a checkpoint of the transformers library, run in this process."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from segagent.policies.chat import Question, Reply, Usage
from segagent.policies.hf.decoding import Written, write_replies
from segagent.policies.hf.loading import Checkpoint


class LocalModel:
    """See the module. ``batch_size``: prompts read at once; ``max_new_tokens``: the longest reply."""

    def __init__(self, checkpoint: Checkpoint, *, batch_size: int = 8, max_new_tokens: int = 256) -> None:
        self.checkpoint = checkpoint
        self._batch_size = batch_size
        self._max_new_tokens = max_new_tokens
        self._usage = Usage()
        self._end_tokens = _end_tokens(checkpoint)

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
        processor = self.checkpoint.processor
        texts, pictures = [], []
        for question in questions:
            content = [{"type": "image"} for _ in question.pictures] + [{"type": "text", "text": question.prompt}]
            messages = [{"role": "user", "content": content}]
            texts.append(processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
            pictures.append([PillowImage.fromarray(picture.pixels) for picture in question.pictures])
        inputs = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
        model = self.checkpoint.model
        # Pictures take the model's number type, ids keep theirs.
        return inputs.to(model.device, dtype=model.dtype)

    def _text(self, written: Written, usage: Usage) -> Reply:
        # Special tokens are kept: some families write <box> and <think> with them.
        text = self.checkpoint.tokenizer.decode(list(written.tokens), skip_special_tokens=False)
        return Reply(text, written.log_prob, written.cut, usage)


def _cost(written: Written, prompt_tokens: int, seconds: float) -> Usage:
    """Of one reply. The first one to a question, with ``prompt_tokens`` above 0, bears the call and its ``seconds``."""
    first = prompt_tokens > 0
    return Usage(int(first), 1, 0, 0, prompt_tokens, len(written.tokens), seconds if first else 0.0)


def _end_tokens(checkpoint: Checkpoint) -> frozenset[int]:
    """All tokens that end a reply, by the model's generation settings and by its tokenizer."""
    named = getattr(checkpoint.model.generation_config, "eos_token_id", None)
    ids = {named} if isinstance(named, int) else set(named or ())
    return frozenset(int(token) for token in ids | {checkpoint.tokenizer.eos_token_id} if token is not None)
