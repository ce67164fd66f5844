"""How an episode is searched, and how much it may cost."""

from __future__ import annotations

from dataclasses import dataclass

from segagent.core import InputError
from segagent.core.usage import Prices


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Settings of :func:`segagent.search.run_search`.

    ``max_steps``: T, at least 1. ``num_candidates``: K, actions tried per step. ``use_prm``: whether the predicted IoU
    stops the episode and picks the returned mask; without it exactly ``max_steps`` steps are made and the last mask is
    returned.
    ``temperature`` of the sampled candidates (the first candidate is the greedy one). ``stop_iou``: predicted IoU at
    which the mask is taken as done. ``patience``: steps without a new best predicted IoU after which the search has
    converged.
    ``best_first``: instead of always going on from the newest mask, go on from the best-scored one not yet gone on
    from, so that the search steps back when all new candidates score worse.
    ``keep_iou``: a start that is given this predicted IoU or more is returned as it is (None: starts are no exception).
    ``max_seconds``, ``max_policy_calls`` and ``max_money`` at ``prices``: budget per episode, None for no limit;
    checked between steps. Money counts only where the policy tells its tokens.
    """

    max_steps: int = 7
    num_candidates: int = 1
    use_prm: bool = True
    temperature: float = 1.0
    stop_iou: float = 0.97
    patience: int = 3
    best_first: bool = False
    keep_iou: float | None = None
    max_seconds: float | None = None
    max_policy_calls: int | None = None
    max_money: float | None = None
    prices: Prices = Prices()  # noqa: RUF009 - frozen

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
        if not self.temperature >= 0:
            raise InputError(f"temperature must not be negative, got {self.temperature}")
