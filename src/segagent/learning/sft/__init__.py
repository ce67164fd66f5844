"""Supervised fine-tuning of a policy on (state, reply) pairs (paper section 4.1), whatever the policy is.

:func:`train_policy_on` is the one entry: SFT (:func:`train_sft`) calls it with D_0, StaR+ with D_0 + D_n.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from segagent.core import InputError, SpecError
from segagent.learning.sft.data import TrainingSet, load_annotator_set
from segagent.learning.sft.recipe import Recipe, load_recipe, load_recipe_from
from segagent.learning.sft.trained import Fresh, TrainedModel, TrainingWatch, read_training_note, write_training_note

__all__ = [
    "Fresh",
    "Recipe",
    "TrainedModel",
    "TrainingSet",
    "TrainingWatch",
    "default_recipe",
    "load_annotator_set",
    "load_recipe",
    "load_recipe_from",
    "read_training_note",
    "train_policy_on",
    "train_sft",
    "write_training_note",
]


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
        progress: TrainingWatch,
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
    progress: TrainingWatch = lambda what, done, total, loss: None,
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
    if policy.partition(":")[0] != "embedded" and (recipe.object_weight or recipe.held_out):
        raise InputError(
            f"policy {policy!r:.200}: object_weight and held_out are settings of the embedded model; leave them out"
        )
    if not any(one.examples for one in sets):
        raise InputError("nothing to train on: the trajectories hold no example")
    return trainer(rest, sets, Path(out), recipe, fresh=fresh, resume=resume, progress=progress)


def train_sft(
    policy: str,
    trajectories: Sequence[str | Path],
    out: str | Path,
    recipe: Recipe,
    *,
    fresh: Fresh = False,
    resume: bool = True,
    progress: TrainingWatch = lambda what, done, total, loss: None,
) -> TrainedModel:
    """:func:`train_policy_on` D_0, the files ``trajectories``; ``out``/training.json tells what it was made of.

    That note is what self-improvement goes on from.
    """
    sets = [load_annotator_set(path) for path in trajectories]
    trained = train_policy_on(policy, sets, out, recipe, fresh=fresh, resume=resume, progress=progress)
    if os.environ.get("RANK", "0") == "0":  # Under a launcher one process speaks for all.
        note = {"kind": "sft", "scheme": policy.partition(":")[0], "policy": policy, "fresh": fresh}
        files = [str(Path(path).resolve()) for path in trajectories]
        write_training_note(out, {**note, "trajectories": files, "recipe": recipe.to_dict()})
    return trained
