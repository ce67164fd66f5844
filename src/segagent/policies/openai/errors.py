"""What can go wrong with a served model, beyond what is tried again."""

from __future__ import annotations

from segagent.core import RefusedError, SegAgentError


class PolicyServerError(SegAgentError):
    """A model server refused, or failed for longer than we try again. Replies had so far are kept in the cache."""


class QuestionRefusedError(PolicyServerError, RefusedError):
    """The server gives no reply to this one question, whatever is tried. ``filtered``: for the sake of its content."""

    def __init__(self, message: str, *, filtered: bool = False) -> None:
        super().__init__(message)
        self.filtered = filtered


class BudgetError(SegAgentError):
    """The run's budget of calls, tokens or seconds is spent. Replies had so far are kept in the cache."""
