"""What policies have in common that ask another one and change what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from segagent.core import Observation, Policy, Proposal, concurrency_of, predicts_iou

Inner = TypeVar("Inner", bound=Policy)


class WrappedPolicy(Generic[Inner]):
    """``policy`` under its own name, or another; a subclass says what is asked for and what becomes of the answers."""

    def __init__(self, policy: Inner, name: str | None = None) -> None:
        self.policy = policy
        self._name = name

    @property
    def name(self) -> str:
        """See :class:`segagent.core.Policy`."""
        return self.policy.name if self._name is None else self._name

    @property
    def predicts_iou(self) -> bool:
        """Whether the policy ever states an IoU."""
        return predicts_iou(self.policy)

    @property
    def concurrency(self) -> int:
        """How many threads may ask at once, and gain by it."""
        return concurrency_of(self.policy)

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that the policy says it never learnt."""
        known = getattr(self.policy, "unknown_words", None)
        words: list[str] = [] if known is None else known(text)
        return words

    def asked_for(self, num_proposals: int, temperature: float) -> tuple[int, float]:
        """How many proposals the policy is asked for, and at what temperature."""
        return num_proposals, temperature

    def changed(
        self, observations: Sequence[Observation], replies: list[list[Proposal]], num_proposals: int
    ) -> list[list[Proposal]]:
        """``num_proposals`` for each observation, made of what the policy has answered."""
        raise NotImplementedError

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`."""
        asked, heat = self.asked_for(num_proposals, temperature)
        return self.changed(
            observations, self.policy.propose(observations, asked, temperature=heat, seeds=seeds), num_proposals
        )
