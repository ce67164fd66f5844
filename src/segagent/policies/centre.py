"""The baseline that looks at nothing: one click in the middle, then done."""

from __future__ import annotations

from collections.abc import Sequence

from segagent.core import Click, Finish, Observation, Proposal
from segagent.policies.reply import format_reply, parse_reply


class CentrePolicy:
    """Clicks the image centre while the mask is empty, and finishes otherwise. Predicts no IoU."""

    predicts_iou = False

    @property
    def name(self) -> str:
        """See :class:`segagent.core.Policy`."""
        return "centre"

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`; all proposals are equal."""
        del temperature, seeds
        replies = []
        for observation in observations:
            height, width = observation.mask.shape
            action = Finish() if observation.mask.any() else Click(width // 2, height // 2, positive=True)
            text = format_reply(action)
            parsed, _ = parse_reply(text, height, width)
            replies.append([Proposal(parsed, None, 0.0, text)] * num_proposals)
        return replies
