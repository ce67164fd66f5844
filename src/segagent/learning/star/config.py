"""Settings of self-improvement."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from segagent.core import InputError
from segagent.environment import GenerationConfig
from segagent.learning.trajectories import StartName, TrajectoryConfig

Variant = Literal["star+", "star"]


@dataclass(frozen=True, slots=True)
class StarConfig:
    """How a model is improved on its own rollouts. What is None is as D_0 was made."""

    variant: Variant = "star+"
    """Alg. 1, "star+", judges each action by its reward and corrects it, and trains on D_0 and D_n together; Alg. 4,
    "star", keeps whole episodes whose last mask reaches ``min_reward`` and trains on D_n only."""
    rounds: int = 1
    """N."""
    max_steps: int = 11
    """T of the rollouts."""
    temperature: float = 0.0
    """0 rolls out greedily."""
    min_reward: float = 0.8
    """What "star" keeps an episode for."""
    tool: str = "embedded"
    """Whose masks are clicked for."""
    seed: int = 0
    """Of rollouts and training."""
    starts: tuple[StartName, ...] | None = None
    """The states that rollouts begin from."""
    tau_stop: float | None = None
    """When "star+" says finish; see :class:`segagent.environment.GenerationConfig`."""
    tau_diff: float | None = None
    """What "star+" drops a correction for; see there."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing. Raises ``InputError``."""
        if self.variant not in ("star+", "star"):
            raise InputError(f"variant {self.variant!r}: expected star+ or star")
        if self.rounds < 1 or self.max_steps < 1 or self.temperature < 0 or self.seed < 0:
            raise InputError("rounds and steps must be at least 1, temperature and seed not negative")
        if not 0 <= self.min_reward <= 1:
            raise InputError(f"min_reward must lie in 0..1, got {self.min_reward}")
        if self.starts is not None:
            TrajectoryConfig(starts=self.starts)
        TrajectoryConfig(self.rules)

    @property
    def rules(self) -> GenerationConfig:
        """The rules of corrections; what is not known yet as :class:`segagent.environment.GenerationConfig` has it."""
        default = GenerationConfig()
        return GenerationConfig(
            tau_stop=default.tau_stop if self.tau_stop is None else self.tau_stop,
            tau_diff=default.tau_diff if self.tau_diff is None else self.tau_diff,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)

    def rollout_settings(self) -> dict[str, Any]:
        """What decides the rollouts of a model; how they are judged does not."""
        settings = {name: getattr(self, name) for name in ("max_steps", "temperature", "tool", "seed")}
        # Rollouts of earlier versions, from empty masks all, say nothing of starts and can be resumed.
        return settings if self.starts in (None, ("empty",)) else {**settings, "starts": list(self.starts or ())}
