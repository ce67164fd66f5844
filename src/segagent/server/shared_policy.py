"""A policy as one of many requests asks it: what several ask at once goes into one call."""

from __future__ import annotations

from collections.abc import Sequence

from segagent.core import (
    BoolMask,
    Image,
    JudgedOutline,
    Observation,
    OutlineJudge,
    Policy,
    Proposal,
    predicts_iou,
)
from segagent.core.extensions import keep_origin
from segagent.policies.doubts import KnowsItsDoubts, KnowsItsWords
from segagent.server.worker import Patience, Worker

MOST_THREADS = 8
"""So many ask a model at once, where it says that it bears it."""


class _SharedPolicy:
    """See :class:`segagent.core.Policy`: another policy, asked together with other requests."""

    def __init__(self, policy: Policy, worker: Worker, patience: Patience) -> None:
        self.policy, self._worker, self._patience = policy, worker, patience
        self.name, self.predicts_iou = policy.name, predicts_iou(policy)
        keep_origin(self, policy)

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        def answer(questions: list[tuple[Observation, int | None]]) -> list[list[Proposal]]:
            given = None if seeds is None else [seed for _, seed in questions if seed is not None]
            looks = [look for look, _ in questions]
            return self.policy.propose(looks, num_proposals, temperature=temperature, seeds=given)

        asked = list(zip(observations, [None] * len(observations) if seeds is None else seeds, strict=True))
        key = ("propose", id(self.policy), num_proposals, temperature, seeds is None)
        return self._worker.ask(key, answer, asked, self._patience)


class _Words(_SharedPolicy):
    policy: KnowsItsWords  # type: ignore[assignment]

    def unknown_words(self, text: str) -> list[str]:
        return self._worker.run(lambda: self.policy.unknown_words(text), self._patience)


class _Doubts(_SharedPolicy):
    policy: KnowsItsDoubts  # type: ignore[assignment]

    def doubts(self, image: Image, text: str) -> list[str]:
        return self._worker.run(lambda: self.policy.doubts(image, text), self._patience)


class _Judge(_SharedPolicy):
    policy: OutlineJudge  # type: ignore[assignment]

    @property
    def judges_outlines(self) -> bool:
        return self.policy.judges_outlines

    def judge_outline(self, image: Image, mask: BoolMask) -> JudgedOutline | None:
        return self._worker.run(lambda: self.policy.judge_outline(image, mask), self._patience)


def shared_policy(policy: Policy, worker: Worker, patience: Patience) -> Policy:
    """``policy`` as one request asks it: what several ask at once goes into one call.

    It can do of itself what ``policy`` can: tell unknown words and doubts, judge outlines.
    """
    parts: list[type] = []
    if isinstance(policy, KnowsItsWords):
        parts.append(_Words)
    if isinstance(policy, KnowsItsDoubts):
        parts.append(_Doubts)
    if isinstance(policy, OutlineJudge):
        parts.append(_Judge)
    made: Policy = type("SharedPolicy", (*parts, _SharedPolicy), {})(policy, worker, patience)
    return made
