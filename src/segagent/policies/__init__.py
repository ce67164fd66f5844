"""Policies: who clicks. :func:`make_policy` makes one, :func:`with_first_box` lets one begin with a box."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from segagent.core import InputError, Policy, SpecError
from segagent.policies.centre import CentrePolicy
from segagent.policies.reply import format_reply, parse_reply
from segagent.policies.scripted import ScriptedPolicy

__all__ = [
    "POLICIES",
    "CentrePolicy",
    "ScriptedPolicy",
    "format_reply",
    "make_policy",
    "parse_reply",
    "require_predicted_iou",
    "with_first_box",
]


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
        return _boxed_if_asked(SCHEMES[scheme](rest))
    known = ", ".join([*sorted(POLICIES), "embedded:DIR", "hf:DIR", "openai:MODEL@URL"])
    raise SpecError(f"unknown policy {spec!r}; expected one of: {known}")


def _boxed_if_asked(policy: Policy) -> Policy:
    """The policy with its own first box where the option ``box=first`` asks for it."""
    from segagent.policies.chat import ChatPolicy
    from segagent.policies.first_box import begin_with_own_box

    return begin_with_own_box(policy) if isinstance(policy, ChatPolicy) and policy.format.first_box else policy


def require_predicted_iou(policy: Policy, purpose: str) -> None:
    """Refuse a policy that never predicts an IoU, before anything is done that needs one.

    Such a policy says so by an attribute ``predicts_iou`` that is false; of one without the attribute only its replies
    can tell. Raises ``InputError`` naming the policy and ``purpose``.
    """
    if not getattr(policy, "predicts_iou", True):
        raise InputError(f"policy {policy.name!r:.200} predicts no IoU, which {purpose} needs; use another policy")


def with_first_box(policy: Policy, choice: str) -> Policy:
    """``policy`` with the first action that ``choice`` says, whatever its own specification says about it.

    "none": it clicks from the start. "own": its first action is a box that it is asked for. Anything else is the
    specification of the model that is asked for the first box. Raises ``SpecError`` where boxes cannot be asked for.
    """
    from segagent.policies.first_box import FirstBoxPolicy, begin_with_box_of, begin_with_own_box

    plain = policy.clicker if isinstance(policy, FirstBoxPolicy) else policy
    if choice == "none":
        return plain
    if choice == "own":
        return begin_with_own_box(plain)
    return begin_with_box_of(plain, make_policy(choice))
