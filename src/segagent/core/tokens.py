"""The tokens of a reply, for those who train on what was written rather than on what it reads as."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ReplyTokens:
    """A reply as its model wrote it, token by token, the one that closed it included.

    ``log_probs``: natural logarithms of the tokens' probabilities, at temperature 1, at most 0. ``ids``: their numbers
    in the model's vocabulary, as many; empty where a server tells none, and then ``texts`` has what it tells instead.
    Raises ``ValueError`` where the numbers of them differ.
    """

    log_probs: tuple[float, ...]
    ids: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """See the class."""
        for told in (self.ids, self.texts):
            if told and len(told) != len(self.log_probs):
                raise ValueError(f"{len(told)} tokens with {len(self.log_probs)} log-probabilities")

    @property
    def log_prob(self) -> float | None:
        """The whole reply's: their exact sum; None where that is too large for a number."""
        try:
            return math.fsum(self.log_probs)
        except OverflowError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """JSON form; what is empty is left out."""
        told: dict[str, Any] = {"log_probs": list(self.log_probs)}
        told |= {"ids": list(self.ids)} if self.ids else {}
        return told | ({"texts": list(self.texts)} if self.texts else {})

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ReplyTokens:
        """Inverse of :meth:`to_dict`. Raises ``ValueError`` naming what does not fit."""
        log_probs, ids, texts = (data.get(name, []) for name in ("log_probs", "ids", "texts"))
        if not all(isinstance(one, list) for one in (log_probs, ids, texts)):
            raise ValueError("the tokens of a reply must be lists")
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in log_probs):
            raise ValueError("the log-probabilities of a reply's tokens must be finite numbers")
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in ids):
            raise ValueError("the ids of a reply's tokens must be whole numbers")
        return ReplyTokens(tuple(float(one) for one in log_probs), tuple(ids), tuple(str(one) for one in texts))
