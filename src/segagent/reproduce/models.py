"""The models that are compared, trained one after another; each folder is finished once and then left alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.datasets import open_dataset
from segagent.evaluation.calibration import Calibration
from segagent.imaging.writing import write_bytes
from segagent.learning.sft import (
    Progress,
    Recipe,
    TrainedModel,
    default_recipe,
    load_annotator_set,
    train_policy_on,
    write_training_note,
)
from segagent.learning.star import StarConfig, run_star
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset
from segagent.reproduce.config import MiniConfig
from segagent.reproduce.work import Watch
from segagent.tools import make_tool

SFT, LONGER, STAR, STAR_PLUS = "SFT", "SFT, trained on", "SFT + StaR", "SFT + StaR+"
"""S_0; S_0 trained on D_0 again for as many steps as StaR+ gets; and the two kinds of self-training."""

MODELS = (SFT, LONGER, STAR, STAR_PLUS)
FOLDERS = {SFT: "sft", LONGER: "sft-trained-on", STAR: "star", STAR_PLUS: "star-plus"}
"""What each model is called in file names."""

CALIBRATION_FILE = "calibration.json"


def make_annotator_set(config: MiniConfig, path: Path, workers: int, watch: Watch) -> dict[str, Any]:
    """D_0: the simulated annotator's trajectories on the training scenes, into ``path``; shared by all seeds."""
    dataset = open_dataset(config.train_dataset)
    with watch("D_0: the simulated annotator's trajectories", dataset.num_images, "images") as update:
        report = generate_dataset(
            dataset,
            partial(make_tool, config.tool),
            path,
            TrajectoryConfig(seed=config.seed),
            workers=min(workers, dataset.num_images),
            progress=lambda report: update(report.num_images, f"{report.num_trajectories} trajectories"),
        )
    return {"images": report.num_images, "samples": report.num_samples, "trajectories": report.num_trajectories}


def train_models(config: MiniConfig, seed: int, d_0: Path, out: Path, watch: Watch) -> dict[str, TrainedModel]:
    """The models of one seed by name, into folders below ``out``. Trainings that were interrupted go on.

    Plain StaR is missing where no rollout was good enough to be kept.
    """
    made = _Trainings(config, seed, d_0, out)
    models = {SFT: _once(SFT, out, made.sft, watch)}
    models[STAR_PLUS] = _once(STAR_PLUS, out, made.star_plus, watch)
    equal = models[STAR_PLUS].steps
    models[LONGER] = _once(LONGER, out, partial(made.longer, steps=equal), watch)
    models[STAR] = _once(STAR, out, partial(made.star, steps=equal), watch)
    return {name: models[name] for name in MODELS if models[name].spec}


class _Trainings:
    """How each model is trained; one method per model, given something that shows its progress."""

    def __init__(self, config: MiniConfig, seed: int, d_0: Path, out: Path) -> None:
        self._config, self._seed, self._d_0, self._out = config, seed, d_0, out
        self._recipe = default_recipe("embedded", seed=seed, steps=config.sft_steps)

    def sft(self, progress: Progress) -> TrainedModel:
        """S_0: the embedded network's frozen perception with a fresh state head, trained on D_0."""
        folder = self._out / FOLDERS[SFT]
        model = train_policy_on(
            "embedded", [load_annotator_set(self._d_0)], folder, self._recipe, fresh=True, progress=progress
        )
        note = {"scheme": "embedded", "trajectories": [str(self._d_0)], "recipe": self._recipe.to_dict()}
        write_training_note(folder, {"kind": "sft", "policy": "embedded", **note})
        return model

    def longer(self, progress: Progress, *, steps: int) -> TrainedModel:
        """S_0 trained on D_0 again."""
        spec, folder = f"embedded:{self._out / FOLDERS[SFT]}", self._out / FOLDERS[LONGER]
        recipe = replace(self._recipe, steps=steps)
        return train_policy_on(spec, [load_annotator_set(self._d_0)], folder, recipe, progress=progress)

    def star_plus(self, progress: Progress) -> TrainedModel:
        """S_0 trained on D_0 and its own rollouts, corrected (Alg. 1)."""
        return self._self_trained(STAR_PLUS, replace(self._recipe, steps=self._config.star_steps), progress)

    def star(self, progress: Progress, *, steps: int) -> TrainedModel:
        """S_0 trained on its own good rollouts (Alg. 4); a model without specification where there is none."""
        try:
            return self._self_trained(STAR, replace(self._recipe, steps=steps), progress)
        except InputError as error:
            if "no episode reached" not in str(error):
                raise
            return TrainedModel("", 0, 0, (), 0.0)

    def _self_trained(self, name: str, recipe: Recipe, progress: Progress) -> TrainedModel:
        config = self._config
        settings = StarConfig(
            variant="star+" if name == STAR_PLUS else "star",
            max_steps=config.max_steps,
            temperature=config.temperature,
            min_reward=config.min_reward,
            tool=config.tool,
            seed=self._seed,
        )
        dataset = open_dataset(config.train_dataset)
        base, into = self._out / FOLDERS[SFT], self._out / FOLDERS[name]
        return run_star(base, dataset, into, settings, recipe=recipe, progress=progress)


def _once(name: str, out: Path, train: Callable[[Progress], TrainedModel], watch: Watch) -> TrainedModel:
    """The model of a training whose result was put on record, else that of the training."""
    note = out / f"{FOLDERS[name]}.json"
    if note.exists():
        record = json.loads(note.read_text(encoding="utf-8"))
        losses = tuple((int(step), float(loss)) for step, loss in record["losses"])
        return TrainedModel(record["spec"], record["steps"], record["examples"], losses, record["seconds"])
    out.mkdir(parents=True, exist_ok=True)
    with watch(f"training {name} ({out.name})", None, "steps") as update:

        def told(what: str, done: int, total: int, loss: float) -> None:
            mean = "" if math.isnan(loss) else f", loss {loss:.3f}"
            update(done, f"of {total} {what}{mean}")

        model = train(told)
    record = {
        "spec": model.spec,
        "steps": model.steps,
        "examples": model.examples,
        "losses": [list(pair) for pair in model.losses],
        "seconds": model.seconds,
    }
    write_bytes(note, json.dumps(record, indent=1).encode("ascii") + b"\n")
    return model


def store_calibration(model_spec: str, calibration: Calibration, fitted_on: dict[str, Any]) -> Path | None:
    """Put the calibration beside the model's weights; None for a model that is no folder (the shipped one)."""
    folder = Path(model_spec.partition(":")[2] or "\0missing") if ":" in model_spec else None
    if folder is None or not folder.is_dir():
        return None
    path = folder / CALIBRATION_FILE
    path.write_text(json.dumps({**calibration.to_dict(), "fitted_on": fitted_on}, indent=1) + "\n", encoding="utf-8")
    return path
