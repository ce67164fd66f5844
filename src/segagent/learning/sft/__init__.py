"""Supervised fine-tuning of a policy on (state, reply) pairs (paper section 4.1), whatever the policy is.

:func:`train_policy_on` is the one entry: SFT (:func:`train_sft`) calls it with D_0, StaR+ with D_0 + D_n.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from segagent.core import InputError, SpecError
from segagent.learning.launcher import by_the_first, is_first, num_processes
from segagent.learning.sft.data import TrainingSet, load_annotator_set
from segagent.learning.sft.extras import Extras, Validation
from segagent.learning.sft.recipe import Recipe, load_recipe, load_recipe_from
from segagent.learning.sft.sets import annotator_sets, as_trajectories
from segagent.learning.sft.trained import Fresh, TrainedModel, TrainingWatch, read_training_note, write_training_note

__all__ = [
    "Extras",
    "Fresh",
    "Recipe",
    "TrainedModel",
    "TrainingSet",
    "TrainingWatch",
    "Validation",
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
        extras: Extras,
    ) -> TrainedModel:
        """Train; ``rest`` is what stands behind the scheme in the specification."""
        ...


def _embedded(*args: Any, extras: Extras, **options: Any) -> TrainedModel:
    from segagent.learning.sft.embedded import train_embedded

    if extras.wanted:
        raise InputError("validation, reports and sharding are for hf: models, not for the embedded one")
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
    extras: Extras = Extras(),  # noqa: B008 - frozen
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
    if not any(len(one.examples) for one in sets):
        raise InputError("nothing to train on: the trajectories hold no example")
    train = partial(trainer, rest, sets, Path(out), recipe, fresh=fresh, progress=progress, extras=extras)
    if policy.partition(":")[0] == "hf" or num_processes() == 1:
        return train(resume=resume)
    # Small enough for one process: the first one trains, the others are given what it made.
    by_the_first(partial(train, resume=resume))
    return train(resume=True)


def train_sft(
    policy: str,
    trajectories: Sequence[str | Path],
    out: str | Path,
    recipe: Recipe,
    *,
    fresh: Fresh = False,
    resume: bool = True,
    progress: TrainingWatch = lambda what, done, total, loss: None,
    weights: Sequence[float] = (),
    images: Path | None = None,
    extras: Extras = Extras(),  # noqa: B008 - frozen
) -> TrainedModel:
    """:func:`train_policy_on` D_0, the files ``trajectories``; ``out``/training.json tells what it was made of.

    That note is what self-improvement goes on from. ``weights``: one per file, see :class:`TrainingSet`. ``images``:
    the pictures of files in the published project's format.
    """
    trajectories = as_trajectories(trajectories, images, out)
    sets = annotator_sets(policy, trajectories, out, boxes=recipe.first_box, weights=weights)
    trained = train_policy_on(policy, sets, out, recipe, fresh=fresh, resume=resume, progress=progress, extras=extras)
    if is_first():
        note = {"kind": "sft", "scheme": policy.partition(":")[0], "policy": policy, "fresh": fresh}
        files = [str(Path(path).resolve()) for path in trajectories]
        write_training_note(out, {**note, "trajectories": files, "recipe": recipe.to_dict()})
    return trained
