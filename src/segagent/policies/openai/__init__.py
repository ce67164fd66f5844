"""``openai:MODEL@URL``: policies behind any server that speaks the OpenAI chat-completions protocol."""

from __future__ import annotations

from pathlib import Path

from segagent.core import SpecError
from segagent.policies.chat import FORMATS, ChatPolicy, chosen_format, format_for_name, parse_spec
from segagent.policies.openai.budget import Budget
from segagent.policies.openai.cache import ReplyCache, default_cache_folder
from segagent.policies.openai.encoding import PictureEncoding
from segagent.policies.openai.errors import BudgetError, PolicyServerError
from segagent.policies.openai.model import ServedModel, ServedModelConfig
from segagent.policies.openai.transport import Patience, check_url

__all__ = [
    "Budget",
    "BudgetError",
    "Patience",
    "PictureEncoding",
    "PolicyServerError",
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
)
_MANY = 1e12


def make_openai_policy(rest: str) -> ChatPolicy:
    """The policy that ``openai:REST`` names; REST is ``MODEL@URL``, with ``?name=value&...`` options behind it.

    Options besides those of :func:`segagent.policies.chat.chosen_format`: ``concurrency``, ``timeout`` (seconds per
    call), ``retries``, ``max_tokens`` (per reply); the run's budget ``calls``, ``tokens``, ``seconds``; ``cache`` (a
    folder, or ``off``); ``image`` (``png``, ``jpeg``); ``logprobs=1``. Raises ``SpecError`` for anything unusable.
    """
    spec = parse_spec(rest, OPTIONS)
    model, found, url = spec.target.rpartition("@")
    if not found or not model or not url:
        raise SpecError(
            f"'openai:{spec.target:.200}': expected openai:MODEL@URL, e.g. openai:my-model@http://127.0.0.1:8000/v1"
        )
    url = check_url(url)
    fmt = chosen_format(spec, format_for_name(model) or FORMATS["qwen3"])
    kind = spec.options.get("image", "jpeg")
    if kind not in ("png", "jpeg"):
        raise SpecError(f"option image={kind!r:.50}: expected 'png' or 'jpeg'")
    limits = {name: spec.number(name, _MANY, 0, _MANY) if name in spec.options else None for name in OPTIONS[4:7]}
    config = ServedModelConfig(
        max_tokens=round(spec.number("max_tokens", 1024, 1, 1e6)),
        concurrency=round(spec.number("concurrency", 64, 1, 1024)),
        wide_seeds=fmt.name == "segagent",
        log_probs=spec.number("logprobs", 0, 0, 1) == 1,
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
    return ChatPolicy(f"openai:{rest}", ServedModel(model, url, config, cache), fmt)
