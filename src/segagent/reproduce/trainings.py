"""One training of one model, and several of them side by side in the worker processes."""

from __future__ import annotations

import json
import math
import queue
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.managers import SyncManager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from segagent.core import InputError, SegAgentError, SegmentationTool
from segagent.core.extensions import from_record
from segagent.core.texts import read_json
from segagent.datasets import open_dataset
from segagent.distributed import end_with_parent
from segagent.imaging.writing import write_bytes
from segagent.learning.sft import (
    Recipe,
    TrainedModel,
    TrainingWatch,
    default_recipe,
    load_annotator_set,
    train_policy_on,
    train_sft,
)
from segagent.learning.star import StarConfig, run_star
from segagent.reproduce.config import MiniConfig
from segagent.reproduce.work import Watch, Workers

SFT, LONGER, STAR, STAR_PLUS = "SFT", "SFT, trained on", "SFT + StaR", "SFT + StaR+"
"""S_0; S_0 trained on D_0 again for as many steps as StaR+ gets; and the two kinds of self-training."""

MODELS = (SFT, LONGER, STAR, STAR_PLUS)
FOLDERS = {SFT: "sft", LONGER: "sft-trained-on", STAR: "star", STAR_PLUS: "star-plus"}
"""What each model is called in file names."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """Model ``name`` of one ``seed`` into a folder of ``out``; ``steps`` of the optimizer, None for the default.

    ``d_0`` is the trajectories file; S_0 is expected in ``out`` by all others.
    """

    config: MiniConfig
    seed: int
    name: str
    steps: int | None
    d_0: Path
    out: Path

    @property
    def note(self) -> Path:
        """Where the result is put on record."""
        return self.out / f"{FOLDERS[self.name]}.json"


def train_together(jobs: Sequence[TrainingJob], pool: Workers, watch: Watch) -> list[TrainedModel]:
    """The models of ``jobs``, in order: the results on record, and the others trained now, as many as fit at once."""
    missing = [job for job in jobs if not job.note.exists()]
    if missing:
        title = ", ".join(dict.fromkeys(job.name for job in missing))
        with ExitStack() as stack:
            update = stack.enter_context(watch(f"training {title}", None, "steps"))
            told: Any = queue.Queue()
            halt: Any = Event()
            if pool.workers > 1:
                manager = SyncManager(ctx=get_context("spawn"))
                manager.start(end_with_parent)
                stack.callback(manager.shutdown)
                told, halt = manager.Queue(), manager.Event()
            follower = Thread(target=_follow, args=(told, update), daemon=True)
            follower.start()
            try:
                for _ in pool.of(missing[0].config.tool)(partial(_train, told=told, halt=halt), missing):
                    pass
            except BaseException:
                halt.set()
                raise
            finally:
                told.put(None)
                follower.join()
    return [_recorded(job.note) for job in jobs]


def _follow(told: Any, update: Callable[[float, str], None]) -> None:
    """Show what the trainings tell, until None comes."""
    at: dict[str, int] = {}
    notes: dict[str, str] = {}
    while (message := told.get()) is not None:
        who, what, done, total, loss = message
        at[who + what] = done
        notes[who] = f"{who}: {what} {done} of {total}" + ("" if math.isnan(loss) else f", loss {loss:.3f}")
        update(sum(at.values()), "; ".join(notes.values()))


def _train(tool: SegmentationTool, job: TrainingJob, *, told: Any, halt: Any) -> None:
    """Train one model and put the result on record."""
    del tool
    job.out.mkdir(parents=True, exist_ok=True)
    who = f"{job.name} ({job.out.name})"

    def progress(what: str, done: int, total: int, loss: float) -> None:
        if halt.is_set():
            raise SegAgentError("the training was stopped; start the same command again to go on")
        told.put((who, what, done, total, loss))

    model = _TRAININGS[job.name](job, progress)
    record = {
        "spec": model.spec,
        "steps": model.steps,
        "examples": model.examples,
        "losses": [list(pair) for pair in model.losses],
        "seconds": model.seconds,
    }
    write_bytes(job.note, json.dumps(record, indent=1).encode("ascii") + b"\n")


def _recorded(note: Path) -> TrainedModel:
    record = read_json(note)
    return TrainedModel.recorded(from_record(record["spec"], note), record)


def _recipe(job: TrainingJob, steps: int | None) -> Recipe:
    return default_recipe("embedded", seed=job.seed, steps=steps)


def _sft(job: TrainingJob, progress: TrainingWatch) -> TrainedModel:
    """S_0: the embedded network's frozen perception with a fresh state head, trained on D_0."""
    folder, recipe = job.out / FOLDERS[SFT], _recipe(job, job.config.sft_steps)
    return train_sft("embedded", [job.d_0], folder, recipe, fresh=True, progress=progress)


def _longer(job: TrainingJob, progress: TrainingWatch) -> TrainedModel:
    """S_0 trained on D_0 again."""
    spec, folder = f"embedded:{job.out / FOLDERS[SFT]}", job.out / FOLDERS[LONGER]
    return train_policy_on(spec, [load_annotator_set(job.d_0)], folder, _recipe(job, job.steps), progress=progress)


def _star_plus(job: TrainingJob, progress: TrainingWatch) -> TrainedModel:
    """S_0 trained on D_0 and its own rollouts, corrected (Alg. 1)."""
    return _self_trained(job, _recipe(job, job.config.star_steps), progress)


def _star(job: TrainingJob, progress: TrainingWatch) -> TrainedModel:
    """S_0 trained on its own good rollouts (Alg. 4); a model without specification where there is none."""
    try:
        return _self_trained(job, _recipe(job, job.steps), progress)
    except InputError as error:
        if "no episode reached" not in str(error):
            raise
        return TrainedModel("", 0, 0, (), 0.0)


def _self_trained(job: TrainingJob, recipe: Recipe, progress: TrainingWatch) -> TrainedModel:
    config = job.config
    settings = StarConfig(
        variant="star+" if job.name == STAR_PLUS else "star",
        max_steps=config.max_steps,
        temperature=config.temperature,
        min_reward=config.min_reward,
        tool=config.tool,
        seed=job.seed,
    )
    dataset = open_dataset(config.train_dataset)
    base, into, rollouts = job.out / FOLDERS[SFT], job.out / FOLDERS[job.name], job.out / "rollouts"
    rollouts.mkdir(parents=True, exist_ok=True)
    return run_star(base, dataset, into, settings, recipe=recipe, rollouts_in=rollouts, progress=progress)


_TRAININGS: dict[str, Callable[[TrainingJob, TrainingWatch], TrainedModel]] = {
    SFT: _sft,
    LONGER: _longer,
    STAR: _star,
    STAR_PLUS: _star_plus,
}
