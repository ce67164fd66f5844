"""The rounds of StaR+ and StaR: roll out, judge, correct, train again from S_0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from segagent.core import InputError
from segagent.core.extensions import from_record
from segagent.core.failures import Failure
from segagent.datasets import Dataset
from segagent.imaging.writing import made_folder
from segagent.learning.examples import Example, fates
from segagent.learning.launcher import by_the_first, is_first
from segagent.learning.sft import (
    Extras,
    Recipe,
    TrainedModel,
    TrainingSet,
    TrainingWatch,
    load_recipe_from,
    read_training_note,
    train_policy_on,
    write_training_note,
)
from segagent.learning.sft.sets import DATA, annotator_sets, num_examples, streamed_set, streams, write_examples
from segagent.learning.star.apart import Rollouts, corrections_beside, open_rollouts, rollout_files
from segagent.learning.star.config import StarConfig
from segagent.learning.star.corrections import correct_rollouts
from segagent.learning.star.rollouts import roll_out
from segagent.learning.trajectories import STARTS
from segagent.runs.journal import read_journal
from segagent.runs.models import make_models
from segagent.runs.progress import Progress
from segagent.runs.session import How, Session, StoppedError


def run_star(
    model: str | Path,
    dataset: Dataset | Sequence[Dataset] | None,
    out: str | Path,
    config: StarConfig = StarConfig(),  # noqa: B008 - frozen
    *,
    recipe: Recipe | None = None,
    rollouts: Sequence[str | Path] = (),
    rollouts_in: Path | None = None,
    on_failures: Callable[[Path, Sequence[Failure]], None] = lambda journal, failures: None,
    resume: bool = True,
    extras: Extras = Extras(),  # noqa: B008 - frozen
    progress: TrainingWatch = lambda what, done, total, loss: None,
    **how: Unpack[How],
) -> TrainedModel:
    """Improve the model in the folder ``model`` on ``dataset`` into the folder ``out``; returns the last round's model.

    ``model`` is S_0, made by SFT: its training note names D_0 and the recipe, which is used again unless ``recipe`` is
    given. Every round n rolls S_{n-1} out on ``dataset``, one or several, from the starts of D_0
    (``out/rollouts_N.jsonl``, resumable; ``rollouts_N_2.jsonl`` for a second data set), makes D_n of it and trains S_0
    anew, on D_0 + D_n for StaR+ and on D_n for StaR. StaR+ tries its corrections with the tool first
    (``corrections_N.jsonl``, resumable). Earlier rounds' models are in ``out/round_N``.
    ``how``: ``workers``, ``open_workers``, ``limit`` and ``budget`` of the rollouts, see
    :class:`segagent.runs.session.Session`; workers correct as well. Training runs in this process.
    ``rollouts``: files and folders of ``segagent rollouts``, instead of data sets: what is in them is learnt from, by
    whichever policy they are.
    Under a launcher (``torchrun``) the first process rolls out and writes, and all of them train together.
    ``on_failures``: told the samples of each file of rollouts or corrections that failed.
    ``rollouts_in``: another folder for the rollouts; StaR and StaR+ of one S_0 may share their first round's.
    Raises ``InputError`` where the folder holds no such model, a trajectories file of S_0 is missing or nothing is left
    to train on, and ``StoppedError`` where the budget does not reach to the end of the rollouts.
    """
    folder, session = made_folder(out), Session(**how)
    datasets = list(dataset) if isinstance(dataset, Sequence) else [] if dataset is None else [dataset]
    if bool(datasets) == bool(rollouts) or (rollouts and config.rounds > 1):
        raise InputError("expected data sets to roll out on, or rollouts that were made before, for one round")
    note = read_training_note(model)
    try:
        scheme, d0_files = str(note["scheme"]), [str(path) for path in note["trajectories"]]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{model}: its training note names no trajectories; expected a model of 'train sft'"
        ) from error
    recipe = recipe or load_recipe_from(note["recipe"])
    config = as_in_d_0(config, d0_files)
    s_0 = from_record(f"{scheme}:{model}", model)
    d_0 = annotator_sets(s_0, d0_files, folder, boxes=recipe.first_box) if config.variant == "star+" else []
    trained: TrainedModel | None = None
    spent: Counter[str] = Counter()
    play = config.rollout_settings()
    for number in range(1, config.rounds + 1):
        into = folder if number == config.rounds else folder / f"round_{number}"
        previous = trained.spec if trained is not None else s_0
        made = [open_rollouts(path) for path in rollout_files(rollouts)]
        if not made:
            name = partial(_file_name, rollouts_in or folder, number)
            settings = [{"model": previous, "dataset": d.fingerprint, "round": number, **play} for d in datasets]
            files = [name(place) for place in range(1, len(datasets) + 1)]
            made = [Rollouts(*one) for one in zip(files, datasets, settings, strict=True)]
            told = partial(_in_round, progress, number, loss=float("nan"))
            roll = partial(_roll_out, previous, made, config, session, spent, on_failures, told)
            by_the_first(roll)  # For hours, perhaps, while the others wait.
        d_n, actions = _learnt_from(s_0, made, config, into)
        if not d_n:
            raise InputError(
                f"round {number}: no episode reached an IoU of {config.min_reward}, so there is nothing to train on; "
                "lower the threshold or train S_0 longer"
            )
        trained = train_policy_on(
            s_0,
            [*d_0, *d_n],
            into,
            recipe,
            resume=resume,
            progress=partial(_in_round, progress, number),
            extras=extras,
        )
        if not is_first():
            continue
        write_training_note(
            into,
            {
                "kind": config.variant,
                "scheme": scheme,
                "model": str(model),
                "trajectories": d0_files,
                "datasets": [one.dataset.spec for one in made],
                "rollouts": [str(one.path.resolve()) for one in made],
                "round": number,
                "config": config.to_dict(),
                "recipe": recipe.to_dict(),
                "examples": {"d_0": num_examples(d_0), "d_n": num_examples(d_n)},
                "actions": dict(actions),
            },
        )
    assert trained is not None
    return trained


def as_in_d_0(config: StarConfig, files: Sequence[str]) -> StarConfig:
    """``config`` with what it leaves open as in the trajectories of ``files``: all starts of any, and their rules.

    Raises ``InputError`` where the files were made by different rules.
    """
    headers = [read_journal(path)[0].get("config") for path in files]
    made = [header for header in headers if isinstance(header, dict)]
    given_starts = {str(name) for one in made if isinstance(one.get("starts"), list) for name in one["starts"]}
    starts = config.starts or tuple(name for name in STARTS if name in given_starts) or ("empty",)
    tau_stop, tau_diff = (
        given if given is not None else _rule(name, made)
        for name, given in (("tau_stop", config.tau_stop), ("tau_diff", config.tau_diff))
    )
    return replace(config, starts=starts, tau_stop=tau_stop, tau_diff=tau_diff)


def _rule(name: str, made: Sequence[dict[str, Any]]) -> float | None:
    """The one value of a rule in the settings of trajectories files; None where they name none."""
    found = sorted({float(one[name]) for one in made if isinstance(one.get(name), int | float)})
    if len(found) > 1:
        values = " and ".join(f"{value:g}" for value in found)
        raise InputError(f"the trajectories of S_0 were made with {name} {values}; say which one StaR is to use")
    return found[0] if found else None


def _learnt_from(
    policy: str, made: Sequence[Rollouts], config: StarConfig, into: Path
) -> tuple[list[TrainingSet], Counter[str]]:
    """D_n, those of its sets that hold an example, and what became of the policy's own actions."""
    actions: Counter[str] = Counter({"kept": 0, "replaced": 0, "dropped": 0})

    def judged(one: Rollouts) -> Iterator[list[Example]]:
        for examples in one.judged(config):
            actions.update(fates(examples))
            yield examples

    if not streams(policy):
        sets = [TrainingSet(one.dataset, [e for found in judged(one) for e in found]) for one in made]
        return [one for one in sets if one.examples], actions
    sets = []
    for place, one in enumerate(made, 1):
        file = made_folder(into / DATA) / f"examples_{place}.jsonl"
        by_the_first(partial(write_examples, file, one.dataset, judged(one)))
        sets.append(streamed_set(file, one.dataset))
    return [one for one in sets if len(one.examples)], actions


def _file_name(folder: Path, number: int, place: int) -> Path:
    return folder / ("rollouts_" + (f"{number}.jsonl" if place == 1 else f"{number}_{place}.jsonl"))


def _roll_out(
    model: str,
    wanted: Sequence[Rollouts],
    config: StarConfig,
    session: Session,
    spent: Counter[str],
    on_failures: Callable[[Path, Sequence[Failure]], None],
    told: Callable[..., None],
) -> None:
    """Have ``model`` make the files of ``wanted``, and for star+ their corrections; what it costs goes to ``spent``."""
    with session.asking(partial(make_models, model, config.tool)) as ask:
        for path, one, settings in ((w.path, w.dataset, w.settings) for w in wanted):
            watch = partial(_images_done, partial(told, total=one.num_images), "rollouts")
            made = roll_out(ask, one, path, config, settings, replace(session, spent=spent), watch)
            spent.update(made.cost)
            if made.stopped:
                raise StoppedError(f"{path}: {made.stopped}")
            on_failures(path, made.failures)
            if config.variant == "star+":
                watch = partial(_images_done, partial(told, total=one.num_images), "corrections")
                beside = corrections_beside(path)
                tried = correct_rollouts(ask, one, path, beside, settings, session, watch)
                on_failures(beside, tried.failures)


def _images_done(told: Callable[..., None], what: str, made: Progress) -> None:
    told(what=what, done=made.num_images)


def _in_round(progress: TrainingWatch, number: int, what: str, done: int, total: int, loss: float) -> None:
    progress(f"round {number}, {what}", done, total, loss)
