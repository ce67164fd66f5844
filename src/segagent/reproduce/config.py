"""Everything that decides the miniature experiment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from segagent.core import InputError

Level: TypeAlias = Literal["simple", "hard"]

SPLITS: dict[str, Level] = {"mini-RES": "simple", "mini-HRES": "hard"}
"""The two splits and the complexity of their generated scenes."""


@dataclass(frozen=True, slots=True)
class MiniConfig:
    """Sizes and seeds of the miniature."""

    seed: int = 0
    """Draws the scenes; the first training's seed."""
    seeds: int = 1
    """So many trainings, with ``seed``, ``seed + 1``, ..."""
    tool: str = "embedded"
    """Whose masks are clicked for."""
    box_tool: str = "grabcut"
    """The tool of Table 5, which takes boxes."""
    shipped: str = "embedded"
    """The policy that comes with the package, to compare with."""
    train_scenes: int = 500
    """Of ``train_complexity``: they make D_0 and the rollouts of self-training."""
    train_complexity: Literal["mixed", "simple", "hard"] = "mixed"
    """See ``train_scenes``."""
    sentences: int = 1
    """Of each training scene."""
    val_scenes: int = 60
    """Per split, for calibration."""
    test_scenes: int = 100
    """Per split, for the tables."""
    noc_clicks: int = 20
    """Most clicks of the simulated annotator."""
    steps: tuple[int, ...] = (1, 3, 5, 7, 11)
    """Where the curves are read; the last one is the budget T."""
    candidates: int = 3
    """K."""
    sft_steps: int | None = None
    """Of the optimizer; None for the recipe's own number."""
    star_steps: int | None = None
    """Of the optimizer, likewise; plain StaR and "trained on" get as many as StaR+."""
    min_reward: float = 0.8
    """What plain StaR keeps a rollout for."""
    temperature: float = 1.0
    """Of StaR's rollouts."""
    mask_draws: int = 4
    """Random-click masks per test object, for annotation filtering."""
    first_action_scenes: int = 60
    """Scenes of Table 5."""
    first_action_steps: int = 7
    """Steps of Table 5."""
    quick: bool = False
    """Only for the record."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run. Raises ``InputError``."""
        counts = ("seeds", "train_scenes", "sentences", "val_scenes", "test_scenes", "mask_draws", "noc_clicks")
        for name in (*counts, "first_action_scenes", "first_action_steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise InputError(f"seed must not be negative, got {self.seed}")
        if self.candidates < 2:
            raise InputError(f"candidates must be at least 2, got {self.candidates}")
        if not self.steps or list(self.steps) != sorted(set(self.steps)) or self.steps[0] < 1:
            raise InputError(f"steps must rise from 1 or more, got {self.steps}")

    @property
    def max_steps(self) -> int:
        """T of mini-HRES."""
        return self.steps[-1]

    @property
    def max_calls(self) -> int:
        """What T steps of Alg. 2 with K candidates cost at most, the start included."""
        return 1 + self.max_steps * self.candidates

    def dataset(self, purpose: Literal["val", "test"], split: str) -> str:
        """The specification of the scenes of ``split`` that calibration (val) or the tables (test) use."""
        number = self.val_scenes if purpose == "val" else self.test_scenes
        return f"scenes:{number}:seed={self._stream},split={purpose},complexity={SPLITS[split]}"

    @property
    def train_dataset(self) -> str:
        """The specification of the training scenes."""
        return (
            f"scenes:{self.train_scenes}:seed={self._stream},split=train,complexity={self.train_complexity},"
            f"sentences={self.sentences}"
        )

    @property
    def _stream(self) -> int:
        """A stream of scenes of the experiment's own: the embedded models were trained on others."""
        return 31_000_000 + self.seed

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**asdict(self), "steps": list(self.steps)}


def quick_config(**changes: Any) -> MiniConfig:
    """So small that all of it takes a few minutes; its numbers mean nothing."""
    small: dict[str, Any] = {
        "train_scenes": 8,
        "val_scenes": 2,
        "test_scenes": 3,
        "steps": (1, 3, 5),
        "sft_steps": 20,
        "star_steps": 10,
        "mask_draws": 2,
        "first_action_scenes": 2,
        "first_action_steps": 3,
        "quick": True,
    }
    return MiniConfig(**{**small, **changes})
