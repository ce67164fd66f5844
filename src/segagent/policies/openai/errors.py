"""What can go wrong with a served model, beyond what is tried again."""

from __future__ import annotations

from segagent.core import SegAgentError


class PolicyServerError(SegAgentError):
    """A model server refused, or failed for longer than we try again. Replies had so far are kept in the cache."""


class BudgetError(SegAgentError):
    """The run's budget of calls, tokens or seconds is spent. Replies had so far are kept in the cache."""
