"""What a run over a data set may cost, and whether it has cost that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from segagent.core.errors import InputError
from segagent.core.usage import Prices


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a whole run, None for no limit. A run that reaches one stops as if interrupted and can be gone on with.

    ``seconds`` of computing, ``policy_calls`` (states that the policy was asked about), ``money`` as the policy's
    server tells it, else at ``prices``.
    """

    seconds: float | None = None
    policy_calls: int | None = None
    money: float | None = None
    prices: Prices = Prices()  # noqa: RUF009 - frozen

    def __post_init__(self) -> None:
        given = (self.seconds, self.policy_calls, self.money)
        if any(value is not None and not value > 0 for value in given):
            raise InputError("a budget must be above 0; leave it out for no limit")


def over_budget(
    cost: Mapping[str, float],
    num_images: int,
    budget: Budget,
    ahead: int = 0,
    spent: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Which limit is reached, in words; empty for none.

    ``cost``: sums of ``seconds``, ``policy_calls`` and the amounts of :class:`segagent.core.Usage`, over ``num_images``
    images; one that is missing is 0. ``ahead``: so many images more are under way, taken to cost what the others did;
    while nothing is known of that, one is enough for any limit. ``spent``: what else counts, but tells nothing of what
    an image costs. Raises ``InputError`` for a limit of money where neither the server nor ``budget`` tells what tokens
    cost.
    """
    read, written, _, told = _tokens(cost)
    if budget.money is not None and budget.prices == Prices() and read + written > 0 and not told:
        raise InputError(
            "a budget in money needs the prices per million tokens (--price IN,OUT): "
            "the policy's server does not tell what its replies cost"
        )
    for name, limit, used, before in (
        ("seconds", budget.seconds, cost.get("seconds", 0), spent.get("seconds", 0)),
        ("policy calls", budget.policy_calls, cost.get("policy_calls", 0), spent.get("policy_calls", 0)),
        ("money", budget.money, budget.prices.money(*_tokens(cost)), budget.prices.money(*_tokens(spent))),
    ):
        if limit is None:
            continue
        coming = ahead * used / num_images if num_images else float(ahead and limit)
        if before + used + coming >= limit:
            return f"the run's budget of {limit:g} {name} is used up ({before + used:g})"
    return ""


def _tokens(cost: Mapping[str, float]) -> tuple[float, float, float, float]:
    """What was read and written, what of the former was cached, and the money that the server told of."""
    return (
        cost.get("prompt_tokens", 0),
        cost.get("completion_tokens", 0),
        cost.get("cached_tokens", 0),
        cost.get("money", 0),
    )
