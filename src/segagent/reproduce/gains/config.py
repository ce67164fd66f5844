"""Everything that decides the experiment about gains."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from segagent.core import InputError
from segagent.reproduce.config import SPLITS, Level


@dataclass(frozen=True, slots=True)
class GainsConfig:
    """Sizes and seeds."""

    seed: int = 0
    """Draws the scenes; the first training's seed."""
    seeds: int = 3
    """So many trainings, with ``seed``, ``seed + 1``, ..."""
    tool: str = "embedded"
    """Whose masks are clicked for."""
    d_0_scenes: int = 150
    """Simple training scenes, one sentence each: D_0."""
    hard_scenes: int = 150
    """Hard training scenes, one sentence each: what self-training, GRPO and the process reward models learn on."""
    test_scenes: int = 300
    """Per split."""
    max_steps: int = 4
    """T, of rollouts as well."""
    candidates: int = 4
    """K."""
    temperature: float = 1.0
    """Of sampled candidates."""
    diversity: float = 0.06
    """Of candidates; see :class:`segagent.search.SearchConfig`."""
    object_weight: float = 0.5
    """Of the loss on which object is meant; see :class:`segagent.learning.sft.Recipe`."""
    held_out: float = 0.1
    """Share of the pictures that early stopping looks at."""
    sft_steps: int = 300
    """Of the optimizer."""
    star_steps: int = 250
    """Of the optimizer; the controls get as many."""
    updates: int = 20
    """Of GRPO."""
    prm_steps: int = 400
    """Of the optimizer, for each process reward model."""
    mask_draws: int = 2
    """Random-click masks per test object, for annotation filtering."""
    quick: bool = False
    """Only for the record."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run. Raises ``InputError``."""
        counts = (
            "seeds",
            "d_0_scenes",
            "hard_scenes",
            "test_scenes",
            "sft_steps",
            "star_steps",
            "updates",
            "prm_steps",
            "max_steps",
        )
        for name in counts:
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0 or self.candidates < 2:
            raise InputError("the seed must not be negative, candidates at least 2")

    def train_dataset(self, level: Level) -> str:
        """The specification of the training scenes."""
        number = self.d_0_scenes if level == "simple" else self.hard_scenes
        return f"scenes:{number}:seed={self._stream},split=train,complexity={level},sentences=1"

    def test_dataset(self, split: str) -> str:
        """The specification of the test scenes of a split."""
        return f"scenes:{self.test_scenes}:seed={self._stream},split=test,complexity={SPLITS[split]}"

    @property
    def _stream(self) -> int:
        """A stream of scenes of the experiment's own: the embedded models were trained on others."""
        return 32_000_000 + self.seed

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def quick_gains(**changes: Any) -> GainsConfig:
    """So small that all of it takes a few minutes; its numbers mean nothing."""
    small: dict[str, Any] = {
        "seeds": 1,
        "d_0_scenes": 4,
        "hard_scenes": 3,
        "test_scenes": 2,
        "max_steps": 2,
        "sft_steps": 4,
        "star_steps": 3,
        "updates": 1,
        "prm_steps": 4,
        "mask_draws": 1,
        "quick": True,
    }
    return GainsConfig(**{**small, **changes})
