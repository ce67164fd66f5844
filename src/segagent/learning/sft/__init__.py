"""Supervised fine-tuning of a policy on (state, reply) pairs (paper section 4.1), whatever the policy is.

:func:`train_policy_on` is the one entry: SFT calls it with D_0, StaR+ with D_0 + D_n.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from segagent.core import InputError, SpecError
from segagent.learning.sft.data import TrainingSet, load_annotator_set
from segagent.learning.sft.recipe import Recipe, load_recipe, load_recipe_from

__all__ = [
    "Fresh",
    "Recipe",
    "TrainedModel",
    "TrainingSet",
    "default_recipe",
    "load_annotator_set",
    "load_recipe",
    "load_recipe_from",
    "read_training_note",
    "train_policy_on",
    "write_training_note",
]

TRAINING_NOTE = "training.json"


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """What a training left. ``spec`` is what ``--policy`` takes; ``losses`` are (step, mean loss since the last).

    ``left_out`` examples were not among the ``examples`` it learnt from: too long (``hf:``), or about objects that the
    detector does not find (``embedded``).
    """

    spec: str
    steps: int
    examples: int
    losses: tuple[tuple[int, float], ...]
    seconds: float
    left_out: int = 0


Progress = Callable[[str, int, int, float], None]
"""Told (what is being done, how many done, of how many, recent mean loss or nan)."""


Fresh: TypeAlias = bool | Literal["bare"]
"""Whether the embedded model's state head starts anew. True: untrained, but clicking by the annotator's rule already,
see :class:`segagent.policies.state_head.StateHead`. "bare": without that, so that it has never clicked."""


class PolicyTrainer(Protocol):
    """Trains one kind of policy; see :func:`train_policy_on`."""

    def __call__(
        self,
        rest: str,
        sets: Sequence[TrainingSet],
        out: Path,
        recipe: Recipe,
        *,
        fresh: Fresh,
        resume: bool,
        progress: Progress,
    ) -> TrainedModel:
        """Train; ``rest`` is what stands behind the scheme in the specification."""
        ...


def _embedded(*args: Any, **options: Any) -> TrainedModel:
    from segagent.learning.sft.embedded import train_embedded

    return train_embedded(*args, **options)


def _hf(*args: Any, **options: Any) -> TrainedModel:
    from segagent.learning.sft.hf import train_hf

    return train_hf(*args, **options)


_TRAINERS: dict[str, tuple[PolicyTrainer, str]] = {"embedded": (_embedded, "embedded"), "hf": (_hf, "")}
"""By scheme: what trains such a policy, and its default recipe ("" where it depends on the model)."""


def _trainer(policy: str) -> tuple[PolicyTrainer, str, str]:
    scheme, _, rest = policy.partition(":")
    if scheme not in _TRAINERS:
        raise SpecError(f"policy {policy!r:.200} cannot be trained here; expected embedded, embedded:DIR or hf:DIR")
    trainer, recipe = _TRAINERS[scheme]
    return trainer, recipe, rest


def default_recipe(policy: str, **changes: Any) -> Recipe:
    """The recipe for a policy's kind, with ``changes`` that are not None. Raises ``SpecError`` for one without."""
    _, name, rest = _trainer(policy)
    if not name:
        from segagent.learning.sft.hf import recipe_name

        name = recipe_name(rest)
    return load_recipe(name, **changes)


def train_policy_on(
    policy: str,
    sets: Sequence[TrainingSet],
    out: str | Path,
    recipe: Recipe,
    *,
    fresh: Fresh = False,
    resume: bool = True,
    progress: Progress = lambda what, done, total, loss: None,
) -> TrainedModel:
    """Fine-tune the model behind the specification ``policy`` on ``sets``, into the folder ``out``.

    ``fresh`` starts the embedded model's state head anew, see :data:`Fresh`. With ``resume`` an interrupted training
    in ``out`` goes on; a finished one is returned as it is.
    Raises ``SpecError`` for policies that cannot be trained, ``InputError`` for unusable data.
    """
    trainer, _, rest = _trainer(policy)
    if fresh and policy.partition(":")[0] != "embedded":
        raise InputError(
            f"policy {policy!r:.200} cannot start fresh; only the embedded model knows clicking beforehand"
        )
    if not any(one.examples for one in sets):
        raise InputError("nothing to train on: the trajectories hold no example")
    return trainer(rest, sets, Path(out), recipe, fresh=fresh, resume=resume, progress=progress)


def write_training_note(out: str | Path, note: dict[str, Any]) -> None:
    """Put on record in a model's folder what it was trained from; StaR goes on from it."""
    (Path(out) / TRAINING_NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")


def read_training_note(folder: str | Path) -> dict[str, Any]:
    """The note of :func:`write_training_note`. Raises ``InputError`` where the folder holds none."""
    path = Path(folder) / TRAINING_NOTE
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read; expected a model folder of 'segagent train sft'") from error
    if not isinstance(note, dict):
        raise InputError(f"{path}: damaged; expected a JSON object")
    return note
