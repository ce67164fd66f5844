"""Policies: who clicks. :func:`make_policy` makes one, :func:`with_first_box` lets one begin with a box."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING

from segagent.core import InputError, Policy, SpecError, predicts_iou
from segagent.core.extensions import POLICY, make_extension
from segagent.policies.centre import CentrePolicy
from segagent.policies.reply import format_reply, parse_reply
from segagent.policies.scripted import ScriptedPolicy

if TYPE_CHECKING:
    from segagent.policies.chat import ChatFormat

__all__ = [
    "POLICIES",
    "CentrePolicy",
    "ScriptedPolicy",
    "format_reply",
    "make_policy",
    "parse_reply",
    "reads_guidelines",
    "require_predicted_iou",
    "told_format",
    "with_first_box",
    "with_guidelines",
    "with_known_format",
]


def _embedded() -> Policy:
    # Imported here so that torch is loaded only where it is needed.
    from segagent.policies.embedded.policy import EmbeddedPolicy

    return EmbeddedPolicy.load()


POLICIES: MappingProxyType[str, Callable[[], Policy]] = MappingProxyType(
    {"embedded": _embedded, "centre": CentrePolicy}
)
"""What each specification makes."""


def _embedded_at(rest: str) -> Policy:
    from segagent.policies.embedded.policy import EmbeddedPolicy

    return EmbeddedPolicy.load(rest)


def _hf(rest: str) -> Policy:
    from segagent.policies.hf import make_hf_policy

    return make_hf_policy(rest)


def _openai(rest: str) -> Policy:
    from segagent.policies.openai import make_openai_policy

    return make_openai_policy(rest)


def _vllm(rest: str) -> Policy:
    from segagent.policies.vllm import make_vllm_policy

    return make_vllm_policy(rest)


SCHEMES: MappingProxyType[str, Callable[[str], Policy]] = MappingProxyType(
    {"embedded": _embedded_at, "hf": _hf, "openai": _openai, "vllm": _vllm}
)
"""What makes policies of specifications "SCHEME:REST", given REST."""


def make_policy(spec: str) -> Policy:
    """The policy that a specification names.

    "embedded" (small vision-language model, shipped), "embedded:DIR" (one that ``segagent train`` made), "centre"
    (baseline), "hf:DIR" (a checkpoint of transformers), "vllm:DIR" (the same, run by vLLM) or "openai:MODEL@URL" (a
    server), the latter three with options as in "hf:DIR?format=qwen3"; or one of your own,
    "python:MODULE:FACTORY[:name=value,...]" or the name of an installed one, see docs/extend.md.
    Raises ``SpecError`` for anything else, and ``WeightsError`` where a model's weights cannot be used.
    """
    make = POLICIES.get(spec)
    if make is not None:
        return make()
    scheme, colon, rest = spec.partition(":")
    if colon and scheme in SCHEMES:
        return _boxed_if_asked(SCHEMES[scheme](rest))
    made: Policy | None = None if scheme in SCHEMES else make_extension(POLICY, spec)
    if made is not None:
        return made
    schemes = ["embedded:DIR", "hf:DIR", "vllm:DIR", "openai:MODEL@URL", "python:MODULE:FACTORY"]
    known = ", ".join([*sorted(POLICIES), *schemes, *POLICY.installed()])
    raise SpecError(f"unknown policy {spec!r}; expected one of: {known}")


def told_format(spec: str) -> ChatFormat | None:
    """The format that the model of a specification says it was trained in; None where it says nothing.

    "hf:DIR" and "vllm:DIR" say it by a file beside the weights, "openai:MODEL@URL" by its server. Raises ``InputError``
    if that is damaged.
    """
    from segagent.policies.chat import ChatPolicy, recorded_format

    scheme, _, rest = spec.partition(":")
    if scheme in ("hf", "vllm"):
        return recorded_format(rest.partition("?")[0])
    policy = make_policy(spec) if scheme == "openai" else None
    return policy.format if isinstance(policy, ChatPolicy) and policy.format_is_told else None


def _boxed_if_asked(policy: Policy) -> Policy:
    """The policy with its own first box where the option ``box=first`` asks for it."""
    from segagent.policies.chat import ChatPolicy
    from segagent.policies.first_box import begin_with_own_box

    return begin_with_own_box(policy) if isinstance(policy, ChatPolicy) and policy.format.first_box else policy


def require_predicted_iou(policy: Policy, purpose: str) -> None:
    """Refuse a policy that never predicts an IoU, before anything is done that needs one.

    Of a policy that does not say so only its replies can tell, see :func:`segagent.core.predicts_iou`. Raises
    ``InputError`` naming the policy and ``purpose``.
    """
    if not predicts_iou(policy):
        raise InputError(f"policy {policy.name!r:.200} predicts no IoU, which {purpose} needs; use another policy")


def with_known_format(policy: Policy) -> Policy:
    """``policy``, where what its numbers mean is known. Raises ``SpecError`` where it would be a guess."""
    guessed = getattr(getattr(policy, "policy", policy), "format_is_guessed", "")
    if guessed:
        raise SpecError(f"{policy.name:.300}: {guessed}")
    return policy


def with_guidelines(policy: Policy, guidelines: str) -> Policy:
    """``policy``, told the project's labelling rules with every question it is asked; empty ones change nothing.

    Language models read them, and so does a policy of your own that has a method ``with_guidelines(text)`` which gives
    such a policy. The embedded one is given back as it is: it reads no text but the object's, which
    :func:`reads_guidelines` tells. Raises ``InputError`` for others, which would leave the rules unread.
    """
    if not guidelines or policy.name.partition(":")[0] == "embedded":
        return policy
    if not reads_guidelines(policy):
        raise InputError(
            f"policy {policy.name!r:.200} reads no guidelines; leave --guidelines out here, and show them to people: "
            "segagent review RUN --guidelines FILE"
        )
    told: Policy = policy.with_guidelines(guidelines)  # type: ignore[attr-defined]
    return told


def reads_guidelines(policy: Policy) -> bool:
    """Whether the policy can be told labelling rules, see :func:`with_guidelines`."""
    return bool(getattr(policy, "reads_guidelines", hasattr(policy, "with_guidelines")))


def with_first_box(policy: Policy, choice: str) -> Policy:
    """``policy`` with the first action that ``choice`` says, whatever its own specification says about it.

    "none": it clicks from the start. "own": its first action is a box that it is asked for. Anything else is the
    specification of the model that is asked for the first box. Raises ``SpecError`` where boxes cannot be asked for.
    """
    from segagent.policies.first_box import FirstBoxPolicy, begin_with_box_of, begin_with_own_box

    plain = policy.policy if isinstance(policy, FirstBoxPolicy) else policy
    if choice == "none":
        return plain
    if choice == "own":
        return begin_with_own_box(plain)
    return begin_with_box_of(plain, with_known_format(make_policy(choice)))
