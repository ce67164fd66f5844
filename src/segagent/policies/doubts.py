"""What a policy says against relying on it for a picture and a sentence."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from segagent.core import Image, Policy


@runtime_checkable
class KnowsItsWords(Protocol):
    """A policy with a closed vocabulary, which can say what it does not understand."""

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the policy never learnt, in order, each once."""
        ...


@runtime_checkable
class KnowsItsDoubts(Protocol):
    """A policy that can tell when a picture and a sentence are not what it has learnt."""

    def doubts(self, image: Image, text: str) -> list[str]:
        """What speaks against relying on it here, each as a clause about the policy; empty where nothing does."""
        ...


def unknown_words(policy: Policy, text: str) -> list[str]:
    """The words of ``text`` that ``policy`` says it never learnt; empty for policies that cannot tell."""
    return policy.unknown_words(text) if isinstance(policy, KnowsItsWords) else []


def speaks_against(policy: Policy, image: Image, text: str) -> tuple[str, ...]:
    """Unknown words and doubts together, each as a clause about the policy."""
    words = unknown_words(policy, text)
    unknown = (f"does not know {', '.join(map(repr, words))}",) if words else ()
    return (*unknown, *doubts(policy, image, text))


def doubts(policy: Policy, image: Image, text: str) -> list[str]:
    """What ``policy`` itself says against relying on it; empty for policies that cannot tell."""
    return policy.doubts(image, text) if isinstance(policy, KnowsItsDoubts) else []
