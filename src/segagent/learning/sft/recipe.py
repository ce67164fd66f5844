"""How a policy is fine-tuned: one small table of settings, from a TOML file."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.core.texts import read_text

_LATER = ("lora_projector", "first_box", "object_weight", "held_out")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of supervised fine-tuning (paper section 4.1)."""

    name: str = "default"
    """For messages and records."""
    epochs: float = 2.0
    """Passes over all examples."""
    steps: int | None = None
    """Of the optimizer, instead of ``epochs``."""
    batch_size: int = 128
    """Examples per optimizer step."""
    learning_rate: float = 1e-5
    """At its peak; warmed up, then a half cosine."""
    warmup: float = 0.03
    """Share of the steps."""
    weight_decay: float = 0.0
    """Of AdamW."""
    seed: int = 0
    """Of the order and initialisation."""
    outline_weight: float = 0.0
    """Embedded model only: of a loss on the object's outline beside the loss on the reply."""
    object_weight: float = 0.0
    """Embedded model only: of a loss on which object is meant. Above 0 what is meant is the policy's own guess, in
    training as in use, and the grounding learns beside the state head; at 0 the target tells which object it is."""
    held_out: float = 0.0
    """Embedded model only: share of the pictures that are kept apart; the weights with the lowest loss on them are the
    result (early stopping). 0: the last weights are."""
    lora_rank: int = 0
    """Transformers only; 0: all language weights are trained."""
    lora_alpha: int = 16
    """Transformers only."""
    lora_projector: bool = False
    """Transformers only: adapters at the linear layers between vision encoder and language model too."""
    first_box: bool = False
    """Transformers only: teach the first box of trajectories that begin with one."""
    freeze_vision: bool = True
    """Transformers only."""
    max_length: int = 2048
    """In tokens; transformers only."""
    micro_batch: int = 1
    """Examples per forward pass and device; transformers only."""
    dtype: str = "bfloat16"
    """Of the weights; transformers only."""
    gradient_checkpointing: bool = True
    """Transformers only."""
    format: str = ""
    """Chat format by name, "" for the model family's own; transformers only."""
    estimate: str = ""
    """In words, what it needs; an estimate, not a measurement."""

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing. Raises ``InputError``."""
        for name in ("epochs", "batch_size", "learning_rate", "max_length", "micro_batch", "lora_alpha"):
            if not getattr(self, name) > 0:
                raise InputError(f"recipe {self.name!r}: {name} must be above 0, got {getattr(self, name)}")
        if self.steps is not None and self.steps < 1:
            raise InputError(f"recipe {self.name!r}: steps must be at least 1, got {self.steps}")
        if (
            not 0 <= self.warmup < 1
            or self.weight_decay < 0
            or self.outline_weight < 0
            or self.object_weight < 0
            or self.lora_rank < 0
            or self.seed < 0
        ):
            raise InputError(f"recipe {self.name!r}: warmup must be in 0..1, the rest not negative")
        if not 0 <= self.held_out < 1:
            raise InputError(f"recipe {self.name!r}: held_out must be at least 0 and below 1, got {self.held_out}")
        if self.dtype not in ("float32", "bfloat16", "float16"):
            raise InputError(f"recipe {self.name!r}: dtype {self.dtype!r}, expected float32, bfloat16 or float16")

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        values = asdict(self)
        # Records of earlier versions know nothing of these; trainings that do not use them can be gone on with.
        return {name: value for name, value in values.items() if value or name not in _LATER}

    def num_steps(self, num_examples: int) -> int:
        """Optimizer steps for so many examples."""
        if self.steps is not None:
            return self.steps
        return max(1, round(self.epochs * num_examples / self.batch_size))


def load_recipe(name: str, **changes: Any) -> Recipe:
    """A recipe that comes with the package, by name, or a TOML file of the same form; ``changes`` that are not None.

    Raises ``InputError`` for an unknown name, a damaged file, or settings that a recipe does not have.
    """
    folder = files("segagent.learning.sft") / "recipes"
    known = sorted(p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml"))
    source = folder / f"{name}.toml" if name in known else Path(name)
    if name not in known and not Path(name).is_file():
        raise InputError(f"recipe {name!r}: expected one of {', '.join(known)}, or a TOML file")
    try:
        table = tomllib.loads(read_text(Path(str(source))))
    except ValueError as error:
        raise InputError(f"recipe {name}: cannot be read ({error})") from error
    return replace(_from_table(name, table), **{key: value for key, value in changes.items() if value is not None})


def load_recipe_from(table: object) -> Recipe:
    """Inverse of :meth:`Recipe.to_dict`. Raises ``InputError``."""
    if not isinstance(table, dict):
        raise InputError(f"recipe: expected a table of settings, got {table!r:.60}")
    return _from_table("recipe", {key: value for key, value in table.items() if value is not None})


def _from_table(name: str, table: dict[str, Any]) -> Recipe:
    defaults = {field.name: field.default for field in fields(Recipe)}
    for key, value in table.items():
        if key not in defaults:
            raise InputError(f"recipe {name}: unknown setting {key!r}; expected some of {', '.join(defaults)}")
        expected = int if key == "steps" else type(defaults[key])
        right = isinstance(value, int | float) if expected is float else isinstance(value, expected)
        if not right or (isinstance(value, bool) and expected is not bool):
            raise InputError(f"recipe {name}: {key} must be of type {expected.__name__}, got {value!r:.60}")
    return Recipe(**{"name": Path(name).stem, **table})
