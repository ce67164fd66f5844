"""Settings of group-relative policy optimisation."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from segagent.core import InputError
from segagent.environment.rewards import reward_named


@dataclass(frozen=True, slots=True)
class GrpoConfig:
    """How a model is improved by the reward of its own clicks (GRPO; Shao et al. 2024)."""

    updates: int = 100
    """How often episodes are played and learnt from."""
    questions: int = 8
    """Sentences of an update."""
    group: int = 8
    """Episodes about each of them; what one of them is worth is measured against the others."""
    max_steps: int = 4
    """Clicks of an episode."""
    reward: str = "iou_gain"
    """Of a click; see :func:`segagent.environment.rewards.reward_named`."""
    learning_rate: float = 1e-4
    """At its peak."""
    kl: float = 0.02
    """Weight of the distance, in nats per click, from the model that training began with."""
    clip: float = 0.2
    """How far a click's probability may move in one update before its gain counts no more, as a ratio less 1."""
    passes: int = 2
    """How often an update learns from its episodes."""
    tool: str = "embedded"
    """Whose masks are clicked for."""
    seed: int = 0
    """Draws questions and clicks."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing. Raises ``InputError``."""
        for name in ("updates", "questions", "max_steps", "passes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.group < 2:
            raise InputError(f"a group needs at least 2 episodes to compare, got {self.group}")
        if not self.learning_rate > 0 or not self.kl >= 0 or not self.clip > 0 or self.seed < 0:
            raise InputError("the learning rate and clip must be above 0, kl and seed not negative")
        reward_named(self.reward)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)
