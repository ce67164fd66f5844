"""What decides the trajectories of a data set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from segagent.core import InputError
from segagent.environment import GenerationConfig
from segagent.environment.seeds import episode_seed
from segagent.runs.session import Shard

__all__ = ["STARTS", "StartName", "TrajectoryConfig", "episode_seed", "parse_starts"]

StartName: TypeAlias = Literal["empty", "box", "random"]

STARTS: tuple[StartName, ...] = get_args(StartName)
"""The states that trajectories begin from, in the order of their records."""


@dataclass(frozen=True, slots=True)
class TrajectoryConfig:
    """Which trajectories to make of each object.

    ``starts``: ``empty``; ``box``, the tool's mask for the object's tight box, or the filled box itself where the tool
    takes none (the record's start is then of the kind "mask"); ``random``, the tool's mask for one to three random
    clicks. ``seed`` drives the random clicks. ``batch_images``: how many images' objects the tool is asked about at
    once; it changes no record. ``shard``: which images. ``auxiliary``: so many spoiled masks of each object, and as
    many good ones, are kept with what is to be said about them (:mod:`segagent.learning.auxiliary`).
    """

    generation: GenerationConfig = GenerationConfig()  # noqa: RUF009 - frozen
    starts: tuple[StartName, ...] = STARTS
    seed: int = 0
    batch_images: int = 1
    shard: Shard = Shard()
    auxiliary: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.starts if name not in STARTS]
        if unknown or not self.starts or len(set(self.starts)) < len(self.starts):
            raise InputError(f"starts {','.join(self.starts)!r}: expected some of {','.join(STARTS)}, each once")
        if self.generation.max_steps < 1:
            raise InputError(f"max_steps must be at least 1, got {self.generation.max_steps}")
        if self.auxiliary and "empty" not in self.starts:
            raise InputError("auxiliary examples are made beside the trajectories from empty; add that start")
        tau_diff = self.generation.tau_diff
        if not 0 <= self.generation.tau_stop <= 1 or (tau_diff is not None and not -1 <= tau_diff <= 1):
            raise InputError("tau_stop must lie in 0..1 and tau_diff in -1..1")
        if self.seed < 0 or self.batch_images < 1 or self.auxiliary < 0:
            raise InputError("seed and auxiliary must be at least 0 and batch_images at least 1")

    def to_dict(self) -> dict[str, Any]:
        """Everything that changes a record."""
        settings = {**asdict(self.generation), "starts": list(self.starts), "seed": self.seed}
        settings |= {"auxiliary": self.auxiliary} if self.auxiliary else {}
        # Files of version 0.1.0, whole ones all, say nothing of shards and can be resumed.
        return settings if self.shard == Shard() else {**settings, "shard": str(self.shard)}


def parse_starts(text: str) -> tuple[StartName, ...]:
    """``"empty,box"`` as start names. Raises ``InputError`` naming what is allowed."""
    names = tuple(part.strip() for part in text.split(","))
    known: dict[str, StartName] = {name: name for name in STARTS}
    if any(name not in known for name in names):
        raise InputError(f"--starts {text!r}: expected some of {','.join(STARTS)}")
    return tuple(known[name] for name in names)
