"""What a run may cost, and what it has cost."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from segagent.policies.chat import Usage
from segagent.policies.openai.errors import BudgetError


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of one run, None for no limit: ``calls`` that reach the server, retries included; ``tokens`` in both
    directions, as far as the server reports them; ``seconds`` since the first call. Checked before each call, so calls
    that are under way at that moment may exceed the last two.
    """

    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None


class Tally:
    """Counts usage and enforces a budget; safe to use from several threads. ``whole``: counts everything here too."""

    def __init__(self, budget: Budget, whole: Tally | None = None) -> None:
        self._budget = budget
        self._whole = whole
        self._lock = threading.Lock()
        self._began: float | None = None
        self._counts: dict[str, float] = {}

    def part(self) -> Tally:
        """A tally of its own, under this one's budget, for a part of what is counted here."""
        return Tally(Budget(), self)

    def begin_call(self, *, retry: bool) -> None:
        """Count a call about to be made. Raises ``BudgetError`` if the budget does not allow it."""
        if self._whole is not None:
            self._whole.begin_call(retry=retry)
        now = time.monotonic()
        with self._lock:
            self._began = now if self._began is None else self._began
            limits = (
                ("calls", self._count("calls"), self._budget.calls),
                ("tokens", self._count("prompt_tokens") + self._count("completion_tokens"), self._budget.tokens),
                ("seconds", now - self._began, self._budget.seconds),
            )
            for name, spent, limit in limits:
                if limit is not None and spent >= limit:
                    raise BudgetError(
                        f"the budget of {limit:g} {name} is spent; replies so far are cached, so run again "
                        f"with a larger ?{name}= to go on from here"
                    )
            self._add("calls", 1)
            self._add("retries", int(retry))

    def add(self, **amounts: float) -> None:
        """Count more of something that :class:`Usage` knows."""
        if self._whole is not None:
            self._whole.add(**amounts)
        with self._lock:
            for name, amount in amounts.items():
                self._add(name, amount)

    @property
    def usage(self) -> Usage:
        """Everything counted so far."""
        with self._lock:
            whole = {n: round(self._count(n)) for n in Usage.__slots__ if n not in ("seconds", "money")}
            return Usage(**whole, seconds=self._count("seconds"), money=self._count("money"))

    def _count(self, name: str) -> float:
        return self._counts.get(name, 0)

    def _add(self, name: str, amount: float) -> None:
        self._counts[name] = self._counts.get(name, 0) + amount
