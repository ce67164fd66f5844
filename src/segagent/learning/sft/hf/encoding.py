"""One example as tensors: the prompt that inference would send, and behind it the reply that is taught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segagent.core import Box, Click, Finish, Image, InputError, InvalidAction, Observation, empty_mask
from segagent.core.recent import Recent
from segagent.learning.examples import Example, observation_of
from segagent.policies.chat import ChatFormat, ask
from segagent.policies.chat.judging import judging, render_judgement
from segagent.policies.hf.loading import Checkpoint
from segagent.policies.hf.prompts import closing_token, encode_questions, prompt_text

NOT_TAUGHT = -100
"""The label of a position that adds nothing to the loss."""

_PROMPTS_KEPT = 4096
_SLACK = 32

_PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "labels")


class Encoder:
    """Makes examples into the tensors that a checkpoint learns from, in the words of a chat format.

    Prompts go through the same calls as in inference, and a reply is appended to them as tokens, which is how a model
    writes it. At most ``max_length`` tokens: longer ones are to be left out, by :meth:`length`.
    """

    def __init__(self, checkpoint: Checkpoint, fmt: ChatFormat, max_length: int) -> None:
        self.format = fmt
        self._formats: dict[str, ChatFormat] = {
            "action": fmt,
            "box": replace(fmt, first_box=True),
            "good": judging(fmt),
        }
        self._processor = checkpoint.processor
        self._tokenizer = checkpoint.tokenizer
        self._end = closing_token(checkpoint)
        self._max_length = max_length
        self._around: dict[tuple[int, int], int] = {}
        self._prompts: Recent[tuple[str, str, tuple[int, int]], int] = Recent(_PROMPTS_KEPT)

    def __call__(self, example: Example, image: Image) -> dict[str, Tensor]:
        """Tensors for one example on ``image``, its picture.

        Per token, (1, length): ``input_ids``, ``attention_mask``, ``labels`` (:data:`NOT_TAUGHT` up to the reply), and
        token types where the family has them; whatever the processor makes of the pictures besides.
        Raises ``InputError`` naming the sample if it cannot be shown or is too long.
        """
        observation = observation_of(example, image)
        reply = self._reply(example)
        encoded = dict(encode_questions(self._processor, [ask(self._formats[example.asks], observation)]))
        length = encoded["input_ids"].shape[1] + len(reply)
        if length > self._max_length:
            raise InputError(
                f"example {example.sample_id!r:.200}: {length} tokens, more than max_length {self._max_length}; "
                "raise max_length in the recipe, or train on smaller pictures"
            )
        encoded["labels"] = torch.full_like(encoded["input_ids"], NOT_TAUGHT)
        told = torch.tensor([reply])
        behind = {"input_ids": told, "labels": told, "attention_mask": torch.ones_like(told)}
        for name in _PER_TOKEN:
            if name in encoded:
                encoded[name] = torch.cat([encoded[name], behind.get(name, torch.zeros_like(told))], dim=1)
        return encoded

    def without_reply(self, example: Example, image: Image) -> dict[str, Tensor]:
        """As calling it, but nothing is taught: what stands in a batch for an example that is left out."""
        encoded = self(example, image)
        return {**encoded, "labels": torch.full_like(encoded["labels"], NOT_TAUGHT)}

    def length(self, example: Example) -> int:
        """Tokens of ``example``: words and reply, and what pictures of its size come to, which is measured once.

        Raises ``InputError`` naming the sample if it teaches nothing that can be written.
        """
        height, width = example.mask["size"]
        size = int(height), int(width)
        key = example.asks, example.text, size
        return self._prompts.made(key, lambda: self._prompt_length(*key)) + len(self._reply(example))

    def most_around(self, size: tuple[int, int]) -> int:
        """At most so many tokens an example on a picture of ``size`` (height, width) has besides its sentence's bytes.

        No tokenizer makes more tokens of a text than it has bytes; a few more may come of words that are cut up anew.
        """
        height, width = size
        action = self.format.render(Box(0, 0, width, height), height, width, 0.999)
        return max(self._prompt_length(asks, "", size) for asks in self._formats) + len(action.encode()) + _SLACK

    def _prompt_length(self, asks: str, text: str, size: tuple[int, int]) -> int:
        """Tokens of a prompt, with what its pictures come to."""
        blank = Observation(Image.of(np.zeros((*size, 3), np.uint8)), text, empty_mask(*size))
        words = len(self._tokens(prompt_text(self._processor, ask(self._formats[asks], blank))))
        if size not in self._around:
            plain = ask(self.format, blank)
            whole = encode_questions(self._processor, [plain])["input_ids"].shape[1]
            self._around[size] = int(whole) - len(self._tokens(prompt_text(self._processor, plain)))
        return words + self._around[size]

    def _reply(self, example: Example) -> list[int]:
        height, width = example.mask["size"]
        try:
            reply = self.reply_tokens(example, int(height), int(width))
            if not reply:
                raise ValueError(f"in format {self.format.name!r} replies do not begin with the IoU")
        except ValueError as error:
            raise InputError(f"example {example.sample_id!r:.200}: {error}") from error
        return reply

    def reply_tokens(self, example: Example, height: int, width: int) -> list[int]:
        """Tokens of the reply taught for a picture of ``height`` x ``width`` pixels, with the one that closes it.

        Without an action it is only what all replies with that IoU begin with, and nothing closes it. Raises
        ``ValueError`` for an example that teaches an invalid reply.
        """
        if isinstance(example.action, InvalidAction):
            raise ValueError("an invalid reply is nothing to teach")
        iou = example.current_iou
        if example.asks == "good":
            good = isinstance(example.action, Finish)
            return [*self._tokens(render_judgement(self.format, iou, good=good)), self._end]
        if example.asks == "box":
            assert isinstance(example.action, Box)
            return [*self._tokens(self.format.render_box(example.action, height, width)), self._end]
        if example.action is not None:
            return [*self._tokens(self.format.render(example.action, height, width, iou)), self._end]
        stand_ins = (Click(0, 0, positive=True), Click(0, 0, positive=False), Finish())
        replies = [self._tokens(self.format.render(action, height, width, iou)) for action in stand_ins]
        return [column[0] for column in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*replies, strict=False))]

    def _tokens(self, text: str) -> list[int]:
        return [int(token) for token in self._tokenizer(text, add_special_tokens=False)["input_ids"]]


class Collator:
    """Joins encoded examples into a batch: texts padded on the right, pictures one behind the other."""

    def __init__(self, pad_token: int) -> None:
        self._padding = {"input_ids": pad_token, "labels": NOT_TAUGHT}

    def __call__(self, rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
        """The batch; per token (rows, longest), padding not attended to and not taught."""
        names = [name for name in rows[0] if isinstance(rows[0][name], Tensor)]
        return {name: _joined([row[name] for row in rows], self._padding.get(name, 0)) for name in names}


def _joined(parts: list[Tensor], fill: int) -> Tensor:
    """``parts`` one behind the other along the first axis, the others made equal by filling up at the end."""
    if all(part.shape[1:] == parts[0].shape[1:] for part in parts):
        return torch.cat(parts)
    shape = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].dim())]
    whole = parts[0].new_full((sum(len(part) for part in parts), *shape), fill)
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *(slice(size) for size in part.shape[1:]))] = part
        start += len(part)
    return whole
