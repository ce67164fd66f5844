"""Several replies from one reading of the prompt.

A prompt with its pictures is put through the model once; what it left in the cache is then shared by all replies, the
first of which is greedy and the others sampled. The probabilities of the sampled replies are the model's own at the
given temperature: a checkpoint's default top-k, top-p and repetition penalty are left out, as they would bend digits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from segagent.core import ReplyTokens

_PER_ROW = ("attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask", "position_ids")


@dataclass(frozen=True, slots=True)
class Written:
    """Token ids of one reply without the closing token; ``cut`` if it never came. ``log_prob`` at temperature 1.

    ``whole``: all its tokens, the closing one included.
    """

    tokens: tuple[int, ...]
    log_prob: float
    cut: bool
    whole: ReplyTokens


@torch.no_grad()
def write_replies(
    model: Any,
    inputs: Mapping[str, Any],
    num_replies: int,
    *,
    temperature: float,
    seeds: Sequence[int],
    max_new_tokens: int,
    end_tokens: frozenset[int],
    pad_token: int,
) -> list[list[Written]]:
    """``num_replies`` per row of ``inputs`` (a left-padded batch of prompts), the first greedy.

    The j-th sample of a row depends on that row's prompt and seed and on j only, as far as floating point allows: how
    rows are batched can change sums in their last bits.
    """
    from transformers import GenerationConfig

    config = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, pad_token_id=pad_token, eos_token_id=sorted(end_tokens)
    )
    result: list[list[Written]] = []

    def decode(
        model: Any, input_ids: Any, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **kwargs: Any
    ) -> Any:
        del logits_processor, stopping_criteria
        rows = input_ids.shape[0]
        outputs = model._prefill(input_ids, generation_config, kwargs)
        kwargs = model._update_model_kwargs_for_generation(outputs, kwargs)
        cache = kwargs["past_key_values"]
        if num_replies > 1:
            # Every kind of cache can be put in another order, those of linear attention too, which cannot be repeated.
            cache.reorder_cache(torch.arange(rows, device=input_ids.device).repeat_interleave(num_replies))
            input_ids = input_ids.repeat_interleave(num_replies, dim=0)
            for name in _PER_ROW:
                if isinstance(kwargs.get(name), torch.Tensor):
                    dim = 1 if name == "position_ids" and kwargs[name].dim() == 3 else 0
                    kwargs[name] = kwargs[name].repeat_interleave(num_replies, dim=dim)
        kwargs.pop("mm_encoder_outputs", None)
        logits = outputs.logits[:, -1].repeat_interleave(num_replies, dim=0)
        draws = [
            None if reply == 0 or temperature == 0 else np.random.default_rng([abs(seed), reply])
            for seed in seeds
            for reply in range(num_replies)
        ]
        tokens: list[list[int]] = [[] for _ in draws]
        costs: list[list[float]] = [[] for _ in draws]
        ended = [False] * len(draws)
        for position in range(max_new_tokens):
            chosen, log_probs = _choose(logits, draws, temperature)
            for row, (token, log_prob) in enumerate(zip(chosen, log_probs, strict=True)):
                if ended[row]:
                    chosen[row] = pad_token
                    continue
                tokens[row].append(token)
                costs[row].append(log_prob)
                ended[row] = token in end_tokens
            if all(ended) or position + 1 == max_new_tokens:
                break
            input_ids = torch.cat([input_ids, torch.tensor(chosen, device=input_ids.device)[:, None]], dim=-1)
            prepared = model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **kwargs)
            outputs = model(**prepared, return_dict=True)
            kwargs = model._update_model_kwargs_for_generation(outputs, kwargs)
            logits = outputs.logits[:, -1]
        written = [
            Written(tuple(told[:-1] if end else told), sum(cost), not end, ReplyTokens(tuple(cost), tuple(told)))
            for told, cost, end in zip(tokens, costs, ended, strict=True)
        ]
        result.extend(written[row * num_replies : (row + 1) * num_replies] for row in range(rows))
        return input_ids

    model.generate(**inputs, generation_config=config, custom_generate=decode)
    return result


def _choose(
    logits: torch.Tensor, draws: Sequence[np.random.Generator | None], temperature: float
) -> tuple[list[int], list[float]]:
    """A token for each row of ``logits`` (rows, vocabulary): the likeliest, or one drawn; and its log-probability."""
    scores = torch.log_softmax(logits.float(), dim=-1)
    chosen = scores.argmax(dim=-1)
    drawn = [row for row, draw in enumerate(draws) if draw is not None]
    if drawn:
        shares = torch.softmax(logits[drawn].double() / temperature, dim=-1).cumsum(dim=-1)
        points = torch.tensor([[draw.random()] for draw in draws if draw is not None], dtype=torch.float64)
        points = points.to(shares.device) * shares[:, -1:]
        picked = torch.searchsorted(shares, points, right=True).clamp(max=shares.shape[-1] - 1)
        chosen[drawn] = picked[:, 0]
    return chosen.tolist(), scores.gather(1, chosen[:, None])[:, 0].tolist()
