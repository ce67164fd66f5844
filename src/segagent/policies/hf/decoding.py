"""Several replies from one reading of the prompt.

A prompt with its pictures is put through the model once; what it left in the cache is then shared by all replies, the
first of which is greedy and the others sampled. The probabilities of the sampled replies are the model's own at the
given temperature: a checkpoint's default top-k, top-p and repetition penalty are left out, as they would bend digits.

Tokens are chosen, and kept, where the model is; the host hears only which replies are over, and on an accelerator does
not wait for that. Replies that are over make room, and prompts that wait take their places.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segagent.core import ReplyTokens
from segagent.policies.hf.rows import Rows, can_be_joined, chosen_rows, last_only

Prompts = tuple[Mapping[str, Any], Sequence[int]]
"""A left-padded batch of prompts as the processor makes it, and a seed for each."""

_MAKING_ROOM = 0.25
"""The share of rows that must be over before they are dropped: that copies the cache once, as writing a token does."""


@dataclass(frozen=True, slots=True)
class Written:
    """Token ids of one reply without the closing token; ``cut`` if it never came. ``log_prob`` at temperature 1.

    ``whole``: all its tokens, the closing one included.
    """

    tokens: tuple[int, ...]
    log_prob: float
    cut: bool
    whole: ReplyTokens


@dataclass(frozen=True, slots=True)
class Writing:
    """How replies are written: ``num_replies`` to a prompt, each up to ``max_new_tokens`` or one of ``end_tokens``."""

    num_replies: int
    temperature: float
    max_new_tokens: int
    end_tokens: frozenset[int]
    pad_token: int

    @property
    def samples(self) -> bool:
        """Whether there are replies that are not greedy."""
        return self.num_replies > 1 and self.temperature > 0


@torch.no_grad()
def write_replies(model: Any, prompts: Iterable[Prompts], writing: Writing, *, at_once: int = 1) -> list[list[Written]]:
    """The replies to each prompt of all batches, in order, the first of each greedy.

    Batches wait until so many replies are over that ``at_once`` prompts are worked on at most, where the model's cache
    lets rows join; else until all are.

    The j-th sample of a row depends on that row's prompt and seed and on j only, as far as floating point allows: how
    rows are batched can change sums in their last bits.
    """
    waiting = iter(prompts)
    coming = next(waiting, None)
    found: dict[tuple[int, int], Written] = {}
    rows: Rows | None = None
    over: _Over | None = None
    asked = 0
    while rows is not None or coming is not None:
        while coming is not None and (rows is None or _has_room(rows, len(coming[1]), writing, at_once)):
            fresh = _read(model, coming, asked, writing)
            asked += len(coming[1])
            rows = fresh if rows is None else rows.joined(fresh)
            over = _Over(rows.ended.device)
            coming = next(waiting, None)
        assert rows is not None
        assert over is not None
        following = _choose_tokens(rows, writing)
        ended = over.rows(rows.ended)
        if sum(ended) >= _MAKING_ROOM * len(rows):
            found |= _taken(rows, [row for row, end in enumerate(ended) if end], writing)
            left = [row for row, end in enumerate(ended) if not end]
            if not left:
                rows = None
                continue
            rows = rows.kept(left)
            following = following.index_select(0, torch.tensor(left, device=following.device))
            over = _Over(rows.ended.device)
        rows = _read_on(rows, following)
    return [[found[question, reply] for reply in range(writing.num_replies)] for question in range(asked)]


def _has_room(rows: Rows, more: int, writing: Writing, at_once: int) -> bool:
    return len(rows) + more * writing.num_replies <= at_once * writing.num_replies and can_be_joined(rows.called)


def _read(model: Any, prompts: Prompts, number: int, writing: Writing) -> Rows:
    """Rows for the replies to the prompts, of which ``number`` were read before, once the model has read them."""
    from transformers import GenerationConfig

    inputs, seeds = prompts
    read: list[tuple[Any, torch.device, Tensor, dict[str, Any]]] = []

    def prefill(
        model: Any, input_ids: Any, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **called: Any
    ) -> Any:
        del logits_processor, stopping_criteria
        outputs = model._prefill(input_ids, generation_config, called)
        called = model._update_model_kwargs_for_generation(outputs, called)
        read.append((model, input_ids.device, outputs.logits[:, -1], last_only(called)))
        return input_ids

    # All that the library does before it writes: where the pictures go, positions, masks, the kind of cache.
    config = GenerationConfig(
        max_new_tokens=writing.max_new_tokens,
        do_sample=False,
        pad_token_id=writing.pad_token,
        eos_token_id=sorted(writing.end_tokens),
    )
    model.generate(**inputs, generation_config=config, custom_generate=prefill)
    ((reader, device, logits, called),) = read  # Not the model where that is a wrapping of another one.
    logits = logits.to(device)
    if writing.num_replies > 1:
        places = torch.arange(len(seeds), device=device).repeat_interleave(writing.num_replies)
        called, logits = chosen_rows(called, places), logits.index_select(0, places)
    most = writing.max_new_tokens
    owners = [(number + place, reply) for place in range(len(seeds)) for reply in range(writing.num_replies)]
    points = torch.zeros((len(owners), 0), device=device)
    if writing.samples:
        drawn = np.full((len(owners), most), -1.0)
        for row, (question, reply) in enumerate(owners):
            if reply:
                drawn[row] = np.random.default_rng([abs(seeds[question - number]), reply]).random(most)
        points = torch.from_numpy(drawn).to(device)
    return Rows(
        reader,
        called,
        tuple(owners),
        logits,
        # A row that is over goes on writing into the place behind its end.
        tokens=torch.full((len(owners), most + 1), writing.pad_token, device=device),
        log_probs=torch.zeros((len(owners), most + 1), device=device),
        count=torch.zeros(len(owners), dtype=torch.long, device=device),
        points=points,
        ended=torch.zeros(len(owners), dtype=torch.bool, device=device),
        closing=torch.tensor(sorted(writing.end_tokens), device=device),
    )


def _choose_tokens(rows: Rows, writing: Writing) -> Tensor:
    """Write the next token of each row that has not ended; what the model is to read next, (rows, 1)."""
    at = rows.count[:, None]
    points = rows.points.gather(1, at.clamp(max=writing.max_new_tokens - 1))[:, 0] if writing.samples else None
    chosen, log_probs = choose(rows.logits, points, writing.temperature)
    rows.tokens.scatter_(1, at, chosen[:, None])
    rows.log_probs.scatter_(1, at, log_probs[:, None])
    rows.count.add_(~rows.ended)
    rows.ended.logical_or_((chosen[:, None] == rows.closing).any(dim=1) | (rows.count >= writing.max_new_tokens))
    return torch.where(rows.ended, writing.pad_token, chosen)[:, None]


def choose(logits: Tensor, points: Tensor | None, temperature: float) -> tuple[Tensor, Tensor]:
    """A token for each row of ``logits`` (rows, vocabulary) and its log-probability at temperature 1.

    The one at which the shares of all, one behind the other, reach the row's of ``points``, (rows,) float64 in 0..1;
    the likeliest one where that is negative, and without ``points``.
    """
    scores = torch.log_softmax(logits.float(), dim=-1)
    chosen = scores.argmax(dim=-1)
    if points is not None:
        shares = torch.softmax(logits.double() / temperature, dim=-1).cumsum(dim=-1)
        reached = points[:, None] * shares[:, -1:]
        picked = torch.searchsorted(shares, reached, right=True).clamp(max=shares.shape[-1] - 1)
        chosen = torch.where(points < 0, chosen, picked[:, 0])
    return chosen, scores.gather(1, chosen[:, None])[:, 0]


def _read_on(rows: Rows, following: Tensor) -> Rows:
    """The rows once the model has read one token more of each, ``following`` (rows, 1)."""
    prepared = rows.model.prepare_inputs_for_generation(following, next_sequence_length=1, **rows.called)
    outputs = rows.model(**prepared, return_dict=True)
    called = last_only(rows.model._update_model_kwargs_for_generation(outputs, rows.called))
    return replace(rows, called=called, logits=outputs.logits[:, -1].to(following.device))


def _taken(rows: Rows, over: Sequence[int], writing: Writing) -> dict[tuple[int, int], Written]:
    """What was written in the rows that are ``over``, by owner."""
    places = torch.tensor(over, device=rows.tokens.device)
    columns = (rows.count, rows.tokens, rows.log_probs)
    counts, tokens, log_probs = (column.index_select(0, places).tolist() for column in columns)
    made = {}
    for row, count, told, costs in zip(over, counts, tokens, log_probs, strict=True):
        ids, each = tuple(told[:count]), tuple(costs[:count])
        cut = ids[-1] not in writing.end_tokens
        made[rows.owners[row]] = Written(ids if cut else ids[:-1], sum(each), cut, ReplyTokens(each, ids))
    return made


class _Over:
    """Which of the same rows are over, as the host knows it.

    On an accelerator as of the token before: the answer to that has arrived while the present one is worked on, and the
    host, which is to keep it busy, does not wait. It costs a token more than needed at the end.
    """

    def __init__(self, device: torch.device, late: bool | None = None) -> None:
        self._late = device.type != "cpu" if late is None else late
        self._before: tuple[Tensor, torch.Event | None] | None = None

    def rows(self, ended: Tensor) -> list[bool]:
        """Whether each row is known to be over, when ``ended`` (rows,) says of each whether it is."""
        if not self._late:
            return [bool(end) for end in ended.tolist()]
        copied = ended.to("cpu", non_blocking=True, copy=True)
        event = None
        if ended.device.type != "cpu":
            event = torch.Event(device=ended.device)
            event.record()
        before, self._before = self._before, (copied, event)
        if before is None:
            return [False] * len(ended)
        if before[1] is not None:
            before[1].synchronize()
        return [bool(end) for end in before[0].tolist()]
