"""A policy that recites replies given beforehand: a fake for tests, and a way to replay what a model once wrote."""

from __future__ import annotations

from collections.abc import Sequence

from segagent.core import Action, Observation, Proposal
from segagent.policies.reply import format_reply, parse_reply


class ScriptedPolicy:
    """Says the next line of its script at each call, the same one to every observation; "Finish" when it has
    run out.

    ``lines`` are raw replies or actions. All proposals of a call are the same line. ``calls`` counts calls.
    """

    def __init__(self, lines: Sequence[str | Action]) -> None:
        self._lines = tuple(line if isinstance(line, str) else format_reply(line) for line in lines)
        self.calls = 0

    @property
    def name(self) -> str:
        """See :class:`segagent.core.Policy`."""
        return "scripted"

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`."""
        del temperature, seeds
        text = self._lines[self.calls] if self.calls < len(self._lines) else "Finish"
        self.calls += 1
        replies = []
        for observation in observations:
            action, predicted = parse_reply(text, *observation.mask.shape)
            replies.append([Proposal(action, predicted, None, text)] * num_proposals)
        return replies
