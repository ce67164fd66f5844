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

_PLANNED = ("hf", "openai")


def make_policy(spec: str) -> Policy:
    """The policy a specification names: "embedded" (small vision-language model, shipped) or "centre" (baseline).

    Raises ``SpecError`` for anything else, and ``WeightsError`` where a model's weights cannot be used.
    """
    make = POLICIES.get(spec)
    if make is not None:
        return make()
    known = ", ".join(sorted(POLICIES))
    scheme = spec.partition(":")[0]
    if scheme in _PLANNED:
        raise SpecError(f"policies of the kind {scheme!r} are not available in this version; available: {known}")
    raise SpecError(f"unknown policy {spec!r}; expected one of: {known}")
