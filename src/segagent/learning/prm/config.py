"""Settings of a process reward model with weights of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from segagent.core import InputError


@dataclass(frozen=True, slots=True)
class PrmConfig:
    """What a policy's process reward model is fitted to."""

    max_steps: int = 4
    """Clicks of the policy's own episode about each sentence, whose masks are judged."""
    distractors: int = 3
    """Outlines of other found objects, the likeliest to be meant first: good masks of the wrong thing."""
    corrupted: int = 3
    """The target's own mask, whole or damaged."""
    clicked: int = 3
    """Masks of one to three random clicks in the target's box."""
    steps: int = 800
    """Of the optimizer."""
    batch_size: int = 64
    """Masks per step."""
    learning_rate: float = 3e-4
    """At its peak."""
    held_out: float = 0.1
    """Share of the pictures that only measure; the weights that do best there are kept."""
    tool: str = "embedded"
    """Whose masks are judged."""
    seed: int = 0
    """Draws masks and their order."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing. Raises ``InputError``."""
        for name in ("max_steps", "steps", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if min(self.distractors, self.corrupted, self.clicked, self.seed) < 0:
            raise InputError("numbers of masks and the seed must not be negative")
        if not self.learning_rate > 0 or not 0 <= self.held_out < 1:
            raise InputError("the learning rate must be above 0, held_out at least 0 and below 1")

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)
