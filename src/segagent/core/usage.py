"""What a policy's model has cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Usage:
    """A cost; costs add up.

    ``calls`` reached a model, ``cached`` replies did not, ``retries`` are the calls that had to be made again.
    ``prompt_tokens`` and ``completion_tokens`` as far as the model reports them; ``cached_tokens`` are those of the
    first that its server had read before. ``seconds`` of waiting for it; calls that were under way side by side each
    count in full. ``money``: what the server itself says that it took, in its currency. ``not_greedy``: replies meant
    to be greedy that the server sampled, because it takes no temperature. ``not_structured``: replies that were to be
    held to a JSON schema and were written freely, because the server takes none.
    """

    calls: int = 0
    replies: int = 0
    cached: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    cached_tokens: int = 0
    money: float = 0.0
    not_greedy: int = 0
    not_structured: int = 0

    def __add__(self, other: Usage) -> Usage:
        """Both costs together."""
        return Usage(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __sub__(self, earlier: Usage) -> Usage:
        """What was spent since ``earlier``."""
        return Usage(*(getattr(self, name) - getattr(earlier, name) for name in self.__slots__))

    def to_dict(self) -> dict[str, int | float]:
        """JSON form: one number per field."""
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Usage:
        """Inverse of :meth:`to_dict`; a missing field is 0. Raises ``ValueError`` for one that is no number from 0."""
        values: dict[str, Any] = {name: data.get(name, 0) for name in Usage.__slots__}
        for name, value in values.items():
            whole = isinstance(value, int) and not isinstance(value, bool)
            fraction = name in ("seconds", "money") and isinstance(value, float) and math.isfinite(value)
            if not (whole or fraction) or value < 0:
                raise ValueError(f"usage field {name!r} must be a number of at least 0, got {value!r:.50}")
        return Usage(**values)


@dataclass(frozen=True, slots=True)
class Prices:
    """What a million tokens cost, read and written, in whatever currency; ``cached``: of those read that the server had
    read before (None: as the others). Raises ``ValueError`` for negative ones.
    """

    prompt: float = 0.0
    completion: float = 0.0
    cached: float | None = None

    def __post_init__(self) -> None:
        given = (self.prompt, self.completion, self.cached or 0.0)
        if not all(math.isfinite(price) for price in given) or min(given) < 0:
            raise ValueError(f"prices must be numbers of at least 0, got {given}")

    def money(
        self, prompt_tokens: float, completion_tokens: float, cached_tokens: float = 0.0, told: float = 0.0
    ) -> float:
        """What so many tokens cost. What the server ``told`` that it took goes before any reckoning."""
        if told > 0:
            return told
        cached = min(cached_tokens, prompt_tokens)
        read = (prompt_tokens - cached) * self.prompt + cached * (self.prompt if self.cached is None else self.cached)
        return (read + completion_tokens * self.completion) / 1e6


def total_usage(parts: Iterable[Usage | None]) -> Usage | None:
    """The sum of what is known; None where nothing is."""
    known = [part for part in parts if part is not None]
    return sum(known, Usage()) if known else None
