"""``openai:MODEL@URL``: policies behind any server that speaks the OpenAI chat-completions protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from segagent.core import SpecError
from segagent.policies.chat import (
    FORMATS,
    ChatPolicy,
    chosen_format,
    format_for_name,
    parse_spec,
    refuse_when_tuned,
)
from segagent.policies.openai.budget import Budget
from segagent.policies.openai.cache import ReplyCache, default_cache_folder
from segagent.policies.openai.encoding import PictureEncoding
from segagent.policies.openai.errors import BudgetError, PolicyServerError, QuestionRefusedError
from segagent.policies.openai.model import ServedModel, ServedModelConfig
from segagent.policies.openai.transport import Patience, check_url

__all__ = [
    "Budget",
    "BudgetError",
    "Patience",
    "PictureEncoding",
    "PolicyServerError",
    "QuestionRefusedError",
    "ReplyCache",
    "ServedModel",
    "ServedModelConfig",
    "make_openai_policy",
]

OPTIONS = (
    "concurrency",
    "timeout",
    "retries",
    "max_tokens",
    "calls",
    "tokens",
    "seconds",
    "cache",
    "image",
    "logprobs",
    "keep_tokens",
    "max_completion_tokens",
    "reasoning_effort",
    "structured",
)
_MANY = 1e12


def make_openai_policy(rest: str) -> ChatPolicy:
    """The policy that ``openai:REST`` names; REST is ``MODEL@URL``, with ``?name=value&...`` options behind it.

    Options besides those of :func:`segagent.policies.chat.chosen_format`: ``concurrency``, ``timeout`` (seconds per
    call), ``retries``, ``max_tokens`` (per reply); the run's budget ``calls``, ``tokens``, ``seconds``; ``cache`` (a
    folder, or ``off``); ``image`` (``png``, ``jpeg``); ``logprobs=1``; ``keep_tokens=1`` (the same, and records keep
    what the server tells of each token); ``max_completion_tokens`` in place of ``max_tokens``; ``reasoning_effort``;
    ``structured`` (``schema``, ``guided``). Raises ``SpecError`` for anything unusable.

    Without ``format`` it is the one that the server tells in /v1/models, else that of the family that the model's name
    speaks of. Where neither is known the policy has ``qwen3``, to be examined by, and says so in
    :attr:`ChatPolicy.format_is_guessed`.
    """
    spec = parse_spec(rest, OPTIONS)
    model, found, url = spec.target.rpartition("@")
    if not found or not model or not url:
        raise SpecError(
            f"'openai:{spec.target:.200}': expected openai:MODEL@URL, e.g. openai:my-model@http://127.0.0.1:8000/v1"
        )
    url = check_url(url)
    kind = spec.options.get("image", "jpeg")
    if kind not in ("png", "jpeg"):
        raise SpecError(f"option image={kind!r:.50}: expected 'png' or 'jpeg'")
    effort = spec.options.get("reasoning_effort", "")
    if effort and not (effort.isalpha() and len(effort) <= 20):
        raise SpecError(f"option reasoning_effort={effort!r:.50}: expected a word like 'low', 'medium' or 'high'")
    structured = spec.options.get("structured", "")
    if structured not in ("", "schema", "guided"):
        raise SpecError(
            f"option structured={structured!r:.50}: expected 'schema' (response_format) or 'guided' (vLLM's own way)"
        )
    limit = "max_completion_tokens" if "max_completion_tokens" in spec.options else "max_tokens"
    if {"max_completion_tokens", "max_tokens"} <= set(spec.options):
        raise SpecError("options max_tokens and max_completion_tokens are two names of one limit; give one of them")
    chosen_format(spec, FORMATS["qwen3"])  # Unusable options are told before the server is asked.
    limits = {name: spec.number(name, _MANY, 0, _MANY) if name in spec.options else None for name in OPTIONS[4:7]}
    keep_tokens = spec.number("keep_tokens", 0, 0, 1) == 1
    config = ServedModelConfig(
        max_tokens=round(spec.number(limit, 1024, 1, 1e6)),
        completion_tokens=limit == "max_completion_tokens",
        reasoning_effort=effort,
        structured=cast(Literal["", "schema", "guided"], structured),
        concurrency=round(spec.number("concurrency", 64, 1, 1024)),
        log_probs=spec.number("logprobs", 0, 0, 1) == 1 or keep_tokens,
        keep_tokens=keep_tokens,
        encoding=PictureEncoding("png" if kind == "png" else "jpeg"),
        patience=Patience(spec.number("timeout", 180, 0.01, 86400), round(spec.number("retries", 8, 0, 100))),
        budget=Budget(
            None if limits["calls"] is None else round(limits["calls"]),
            None if limits["tokens"] is None else round(limits["tokens"]),
            limits["seconds"],
        ),
    )
    folder = spec.options.get("cache", "")
    cache = None if folder == "off" else ReplyCache(Path(folder) if folder else default_cache_folder())
    served = ServedModel(model, url, config, cache)
    given = "format" in spec.options
    told = None if given else served.told_format()
    known = told or format_for_name(model)
    refuse_when_tuned(spec, told)
    fmt = chosen_format(spec, known or FORMATS["qwen3"])
    policy = ChatPolicy(f"openai:{rest}", served, fmt)
    policy.format_is_told = told is not None
    if fmt.name == "segagent":
        served.send_wide_seeds()
    if known is None and not given:
        policy.format_is_guessed = (
            f"what the numbers of model {model!r:.100} mean is not known; choose ?format= one of {', '.join(FORMATS)}, "
            f"or let it be measured: segagent doctor 'openai:{rest:.300}' -o format.json, then ?format=format.json"
        )
    return policy
