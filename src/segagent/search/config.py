"""How an episode is searched, and how much it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from segagent.core import InputError
from segagent.core.usage import Prices


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Settings of :func:`segagent.search.run_search`. Budgets are per episode, None for no limit, checked between
    steps."""

    max_steps: int = 7
    """T, at least 1."""
    num_candidates: int = 1
    """K, actions tried per step; the first is the greedy one."""
    use_prm: bool = True
    """Whether the predicted IoU stops the episode and picks the returned mask; without it exactly ``max_steps`` steps
    are made and the last mask is returned."""
    temperature: float = 1.0
    """Of the sampled candidates."""
    diversity: float | None = None
    """None samples candidates alike. A number tries distinct objects first, then places, at least this far apart as a
    share of the picture's sides; for policies that can (:class:`segagent.core.Diverse`)."""
    stop_iou: float = 0.97
    """Predicted IoU at which the mask is taken as done."""
    patience: int = 3
    """Steps without a new best predicted IoU after which the search has converged."""
    best_first: bool = False
    """Instead of always going on from the newest mask, expand the best-scored one not yet expanded, so that the search
    steps back when all new candidates score worse."""
    keep_iou: float | None = None
    """A start that is given this predicted IoU or more is returned as it is; None: starts are no exception."""
    max_seconds: float | None = None
    """Time."""
    max_policy_calls: int | None = None
    """States that the policy is asked about."""
    max_money: float | None = None
    """Cost at ``prices``; it counts only where the policy tells its tokens."""
    prices: Prices = Prices()  # noqa: RUF009 - frozen
    """Of tokens."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing. Raises ``InputError``."""
        if self.max_steps < 1:
            raise InputError(f"steps must be at least 1, got {self.max_steps}")
        if self.num_candidates < 1:
            raise InputError(f"candidates must be at least 1, got {self.num_candidates}")
        if self.num_candidates > 1 and not self.use_prm:
            raise InputError("several candidates need the predicted IoU to choose between them; use 1 without it")
        if self.best_first and self.num_candidates == 1:
            raise InputError("stepping back needs several candidates to step back to; use 2 or more")
        if self.patience < 1:
            raise InputError(f"patience must be at least 1, got {self.patience}")
        if self.max_money is not None and self.prices == Prices():
            raise InputError("a budget in money needs prices")
        if self.diversity is not None and not 0 <= self.diversity <= 1:
            raise InputError(f"diversity is a share of the picture's sides in 0..1, got {self.diversity}")
        if not self.temperature >= 0:
            raise InputError(f"temperature must not be negative, got {self.temperature}")
