"""Replies under way, one to a row of a batch: rows are multiplied, leave, and are joined by others.

What a model remembers of a row lies in its cache and in what it is called with next. Rows are dropped from any kind of
cache. They join where the cache holds keys and values of whole prompts and nothing else: what came later is then padded
on the left, like a shorter prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

_LAST = ("position_ids", "token_type_ids", "mm_token_type_ids")
"""Of each token; only the last one's are asked for."""
_PER_ROW = ("attention_mask", "cross_attention_mask", *_LAST)


@dataclass(frozen=True, eq=False)
class Rows:
    """What the ``model`` is ``called`` with, its cache and mask among it, and of as many rows, on one device, the
    ``logits`` (rows, vocabulary), the ``tokens`` (rows, most + 1) with ``count`` of them written, their ``log_probs``,
    the ``points`` (rows, most) in 0..1 that samples are drawn by, and whether they have ``ended``. Tokens, log_probs,
    count and ended change as rows are written.

    ``owners``: of each row, the numbers of its question and reply. ``closing``: the tokens that end one.
    """

    model: Any
    called: dict[str, Any]
    owners: tuple[tuple[int, int], ...]
    logits: Tensor
    tokens: Tensor
    log_probs: Tensor
    count: Tensor
    points: Tensor
    ended: Tensor
    closing: Tensor

    def __len__(self) -> int:
        return len(self.owners)

    def kept(self, order: Sequence[int]) -> Rows:
        """Those rows in that ``order``; the cache is no longer that of these."""
        places = torch.tensor(order, device=self.logits.device)
        return replace(
            self,
            called=chosen_rows(self.called, places),
            owners=tuple(self.owners[row] for row in order),
            **{name: getattr(self, name).index_select(0, places) for name in _TENSORS},
        )

    def joined(self, others: Rows) -> Rows:
        """These rows and behind them ``others``; the caches of neither are any longer theirs."""
        return replace(
            self,
            called=_joined(self.called, others.called),
            owners=self.owners + others.owners,
            **{name: torch.cat([getattr(self, name), getattr(others, name)]) for name in _TENSORS},
        )


_TENSORS = ("logits", "tokens", "log_probs", "count", "points", "ended")


def chosen_rows(called: dict[str, Any], places: Tensor) -> dict[str, Any]:
    """What a model is called with for the rows at ``places``, which may name a row several times."""
    cache = called["past_key_values"]
    # Every kind of cache can be put in another order, those of linear attention too, which cannot be repeated.
    cache.reorder_cache(places)
    if isinstance(getattr(cache, "stretched", None), Tensor):
        cache.stretched = cache.stretched.index_select(0, places.to(cache.stretched.device))
    result = dict(called)
    for name in _PER_ROW:
        if isinstance(value := called.get(name), Tensor):
            result[name] = value.index_select(_dim(name, value), places.to(value.device))
    return result


def last_only(called: dict[str, Any]) -> dict[str, Any]:
    """The same without what was needed for the tokens that have been read."""
    kept = {name: value for name, value in called.items() if name not in ("mm_encoder_outputs", "pixel_values")}
    return kept | {name: kept[name][..., -1:] for name in _LAST if isinstance(kept.get(name), Tensor)}


def can_join(config: Any) -> bool:
    """Whether the caches of models of that configuration are such that rows can join."""
    from transformers import DynamicCache

    return _plain(DynamicCache(config=config))


def can_be_joined(called: dict[str, Any]) -> bool:
    """Whether rows can join those that a model is called with like this."""
    tensors = {name for name, value in called.items() if isinstance(value, Tensor)}
    cache = called["past_key_values"]
    return (
        tensors <= {"attention_mask", *_LAST}
        and "position_ids" in tensors
        and _plain(cache)
        and all(layer.is_initialized for layer in cache.layers)
    )


def _plain(cache: Any) -> bool:
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    masks = [_mask(called) for called in (first, second)]
    length = max(mask.shape[1] for mask in masks)
    mask = torch.cat([pad(mask, (length - mask.shape[1], 0)) for mask in masks])
    # Longer prompts may be gone by now. The mask covers the token that comes next, the cache does not.
    unused = length - int(mask.sum(dim=1).max())
    cache, other = first["past_key_values"], second["past_key_values"]
    for mine, theirs in zip(cache.layers, other.layers, strict=True):
        for name in ("keys", "values"):
            parts = [pad(x, (0, 0, length - 1 - x.shape[-2], 0)) for x in (getattr(mine, name), getattr(theirs, name))]
            setattr(mine, name, torch.cat([x[..., unused:, :] for x in parts]))
    if isinstance(getattr(cache, "stretched", None), Tensor):
        cache.stretched = torch.cat([cache.stretched, other.stretched])
    result = first | {"attention_mask": mask[:, unused:]}
    for name in _LAST:
        if isinstance(value := first.get(name), Tensor):
            result[name] = torch.cat([value, second[name]], dim=_dim(name, value))
    return result


def _mask(called: dict[str, Any]) -> Tensor:
    """The library leaves it out where no prompt was padded."""
    mask = called.get("attention_mask")
    if isinstance(mask, Tensor):
        return mask
    keys = called["past_key_values"].layers[0].keys
    # Layers may be spread over devices; what the model is called with is in one place.
    return torch.ones(keys.shape[0], keys.shape[-2] + 1, dtype=torch.long, device=called["position_ids"].device)


def _dim(name: str, value: Tensor) -> int:
    return 1 if name == "position_ids" and value.dim() == 3 else 0
