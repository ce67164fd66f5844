"""Policies: who clicks. :func:`make_policy` makes one from its specification string."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from segagent.core import Policy, SpecError
from segagent.policies.centre import CentrePolicy
from segagent.policies.reply import format_reply, parse_reply
from segagent.policies.scripted import ScriptedPolicy

__all__ = ["POLICIES", "CentrePolicy", "ScriptedPolicy", "format_reply", "make_policy", "parse_reply"]


def _embedded() -> Policy:
    # Imported here so that torch is loaded only where it is needed.
    from segagent.policies.embedded import EmbeddedPolicy

    return EmbeddedPolicy.load()


POLICIES: MappingProxyType[str, Callable[[], Policy]] = MappingProxyType(
    {"embedded": _embedded, "centre": CentrePolicy}
)
"""What each specification makes."""


def _embedded_at(rest: str) -> Policy:
    from segagent.policies.embedded import EmbeddedPolicy

    return EmbeddedPolicy.load(rest)


def _hf(rest: str) -> Policy:
    from segagent.policies.hf import make_hf_policy

    return make_hf_policy(rest)


def _openai(rest: str) -> Policy:
    from segagent.policies.openai import make_openai_policy

    return make_openai_policy(rest)


SCHEMES: MappingProxyType[str, Callable[[str], Policy]] = MappingProxyType(
    {"embedded": _embedded_at, "hf": _hf, "openai": _openai}
)
"""What makes policies of specifications "SCHEME:REST", given REST."""


def make_policy(spec: str) -> Policy:
    """The policy that a specification names.

    "embedded" (small vision-language model, shipped), "embedded:DIR" (one that ``segagent train`` made), "centre"
    (baseline), "hf:DIR" (a checkpoint of transformers) or "openai:MODEL@URL" (a server), the latter two with options
    as in "hf:DIR?format=qwen3".
    Raises ``SpecError`` for anything else, and ``WeightsError`` where a model's weights cannot be used.
    """
    make = POLICIES.get(spec)
    if make is not None:
        return make()
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in SCHEMES:
        return SCHEMES[scheme](rest)
    known = ", ".join([*sorted(POLICIES), "embedded:DIR", "hf:DIR", "openai:MODEL@URL"])
    raise SpecError(f"unknown policy {spec!r}; expected one of: {known}")
