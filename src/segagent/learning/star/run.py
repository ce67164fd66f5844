"""The rounds of StaR+ and StaR: roll out, judge, correct, train again from S_0."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from segagent.core import InputError, Trajectory
from segagent.datasets import Dataset
from segagent.environment import Target
from segagent.learning.examples import Example, replaced_share, star_examples, star_plus_examples
from segagent.learning.sft import (
    Progress,
    Recipe,
    TrainedModel,
    TrainingSet,
    load_annotator_set,
    load_recipe_from,
    read_training_note,
    train_policy_on,
    write_training_note,
)
from segagent.learning.star.config import StarConfig
from segagent.learning.star.rollouts import roll_out, rollout_examples
from segagent.policies import make_policy, with_known_format
from segagent.tools import make_tool


def run_star(
    model: str | Path,
    dataset: Dataset,
    out: str | Path,
    config: StarConfig = StarConfig(),  # noqa: B008 - frozen
    *,
    recipe: Recipe | None = None,
    rollouts_in: Path | None = None,
    resume: bool = True,
    progress: Progress = lambda what, done, total, loss: None,
) -> TrainedModel:
    """Improve the model in the folder ``model`` on ``dataset`` into the folder ``out``; returns the last round's model.

    ``model`` is S_0, made by SFT: its training note names D_0 and the recipe, which is used again unless ``recipe`` is
    given. Every round n rolls S_{n-1} out on ``dataset`` (``out/rollouts_N.jsonl``, resumable), makes D_n of it and
    trains S_0 anew, on D_0 + D_n for StaR+ and on D_n for StaR. Earlier rounds' models are in ``out/round_N``.
    ``rollouts_in``: another folder for the rollouts; StaR and StaR+ of one S_0 may share their first round's.
    Raises ``InputError`` where the folder holds no such model or nothing is left to train on.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    note = read_training_note(model)
    try:
        scheme, d0_files = str(note["scheme"]), [str(path) for path in note["trajectories"]]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{model}: its training note names no trajectories; expected a model of 'train sft'"
        ) from error
    recipe = recipe or load_recipe_from(note["recipe"])
    s_0 = f"{scheme}:{model}"
    d_0 = [load_annotator_set(path) for path in d0_files] if config.variant == "star+" else []
    trained: TrainedModel | None = None
    for number in range(1, config.rounds + 1):
        into = folder if number == config.rounds else folder / f"round_{number}"
        previous = trained.spec if trained is not None else s_0
        rollouts = (rollouts_in or folder) / f"rollouts_{number}.jsonl"
        settings = {"model": previous, "dataset": dataset.fingerprint, "round": number, **config.rollout_settings()}
        roll_out(
            with_known_format(make_policy(previous)),
            make_tool(config.tool),
            dataset,
            rollouts,
            config,
            settings,
            partial(_in_round, progress, number, "rollouts", loss=float("nan")),
        )
        examples = rollout_examples(dataset, rollouts, _judge(config))
        if not examples:
            raise InputError(
                f"round {number}: no episode reached an IoU of {config.min_reward}, so there is nothing to train on; "
                "lower the threshold or train S_0 longer"
            )
        trained = train_policy_on(
            s_0,
            [*d_0, TrainingSet(dataset, examples)],
            into,
            recipe,
            resume=resume,
            progress=partial(_in_round, progress, number),
        )
        write_training_note(
            into,
            {
                "kind": config.variant,
                "scheme": scheme,
                "model": str(model),
                "trajectories": d0_files,
                "dataset": dataset.spec,
                "round": number,
                "config": config.to_dict(),
                "recipe": recipe.to_dict(),
                "examples": {"d_0": sum(len(s.examples) for s in d_0), "d_n": len(examples)},
                "replaced_share": replaced_share(examples),
            },
        )
    assert trained is not None
    return trained


def _in_round(progress: Progress, number: int, what: str, done: int, total: int, loss: float) -> None:
    progress(f"round {number}, {what}", done, total, loss)


def _judge(config: StarConfig) -> Callable[[Trajectory, Target], list[Example]]:
    if config.variant == "star+":
        return star_plus_examples
    return lambda trajectory, _: star_examples(trajectory, min_reward=config.min_reward)
