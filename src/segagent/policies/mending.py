"""A policy whose last proposal mends the outline of the mask that is there, whatever the words say."""

from __future__ import annotations

from collections.abc import Sequence

from segagent.core import Observation, OutlineJudge, Policy, Proposal
from segagent.environment.annotator import next_click
from segagent.policies.reply import format_reply
from segagent.policies.wrapping import WrappedPolicy


class MendingPolicy(WrappedPolicy[Policy]):
    """``policy``, whose own proposals come first; where more than one is wanted and its judge sees another outline
    than the mask's, the last is the click that would lead there.

    A search then compares them by the policy's predicted IoU, so the mended mask is taken only where it is liked best.
    """

    def __init__(self, policy: Policy, judge: OutlineJudge) -> None:
        super().__init__(policy)
        self._judge = judge

    def asked_for(self, num_proposals: int, temperature: float) -> tuple[int, float]:
        """One proposal less, where more than one is wanted."""
        return max(1, num_proposals - 1), temperature

    def changed(
        self, observations: Sequence[Observation], replies: list[list[Proposal]], num_proposals: int
    ) -> list[list[Proposal]]:
        """The policy's own proposals, and what mends."""
        if num_proposals == 1:
            return replies
        return [
            [*proposals, self._mending(observation, proposals[0])]
            for observation, proposals in zip(observations, replies, strict=True)
        ]

    def _mending(self, observation: Observation, greedy: Proposal) -> Proposal:
        judged = self._judge.judge_outline(observation.image, observation.mask)
        click = None if judged is None else next_click(observation.mask, judged.outline)
        if click is None:
            return greedy
        return Proposal(click, greedy.predicted_iou, None, format_reply(click, greedy.predicted_iou))


def outline_judge(policy: Policy) -> OutlineJudge | None:
    """``policy`` as what judges outlines; None where it cannot."""
    return policy if isinstance(policy, OutlineJudge) and policy.judges_outlines else None
