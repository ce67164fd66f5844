"""The models that are compared, trained one after another; each folder is finished once and then left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from segagent.datasets import open_dataset
from segagent.evaluation.calibration import Calibration
from segagent.learning.sft import (
    TrainedModel,
    default_recipe,
    load_annotator_set,
    train_policy_on,
    write_training_note,
)
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset
from segagent.reproduce.config import MiniConfig
from segagent.reproduce.work import Watch
from segagent.tools import make_tool

SFT, LONGER, STAR, STAR_PLUS = "SFT", "SFT, trained on", "SFT + StaR", "SFT + StaR+"
"""S_0; S_0 trained on D_0 again for as many steps as StaR+ gets; and the two kinds of self-training."""

MODELS = (SFT, LONGER, STAR, STAR_PLUS)
_FOLDERS = {SFT: "sft", LONGER: "sft-trained-on", STAR: "star", STAR_PLUS: "star-plus"}
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
    """The models of one seed by name, into folders below ``out``. Trainings that were interrupted go on."""
    models: dict[str, TrainedModel] = {}
    recipe = default_recipe("embedded", seed=seed, steps=config.sft_steps)
    annotator = load_annotator_set(d_0)

    def sft(progress: Progress) -> TrainedModel:
        folder = out / _FOLDERS[SFT]
        model = train_policy_on("embedded", [annotator], folder, recipe, fresh=True, progress=progress)
        write_training_note(folder, {"trajectories": [str(d_0)], "recipe": recipe.to_dict()})
        return model

    models[SFT] = _once(SFT, out, sft, watch)
    more = replace(recipe, steps=config.star_steps)
    models[STAR_PLUS] = _once(STAR_PLUS, out, _star(config, seed, "star+", more, out), watch)
    equal = replace(recipe, steps=models[STAR_PLUS].steps)
    models[STAR] = _once(STAR, out, _star(config, seed, "star", equal, out), watch)

    def longer(progress: Progress) -> TrainedModel:
        return train_policy_on(models[SFT].spec, [annotator], out / _FOLDERS[LONGER], equal, progress=progress)

    models[LONGER] = _once(LONGER, out, longer, watch)
    return {name: models[name] for name in MODELS}


Progress = Callable[[int, int, float], None]


def _star(config: MiniConfig, seed: int, variant: str, recipe: Any, out: Path) -> Callable[[Progress], TrainedModel]:
    def train(progress: Progress) -> TrainedModel:
        from segagent.learning.star import StarConfig, run_star

        settings = StarConfig(
            rounds=1,
            variant=variant,
            max_steps=config.max_steps,
            temperature=config.temperature,
            min_reward=config.min_reward,
            tool=config.tool,
            seed=seed,
        )
        name = STAR_PLUS if variant == "star+" else STAR
        dataset = open_dataset(config.train_dataset)
        return run_star(out / _FOLDERS[SFT], dataset, out / _FOLDERS[name], settings, recipe=recipe, progress=progress)

    return train


def _once(name: str, out: Path, train: Callable[[Progress], TrainedModel], watch: Watch) -> TrainedModel:
    """The model of a training whose result was put on record, else that of the training."""
    note = out / f"{_FOLDERS[name]}.json"
    if note.exists():
        record = json.loads(note.read_text(encoding="utf-8"))
        losses = tuple((int(step), float(loss)) for step, loss in record["losses"])
        return TrainedModel(record["spec"], record["steps"], record["examples"], losses, record["seconds"])
    out.mkdir(parents=True, exist_ok=True)
    with watch(f"training {name} ({out.name})", None, "steps") as update:
        model = train(lambda done, total, loss: update(done, f"of {total}, loss {loss:.3f}"))
    record = {
        "spec": model.spec,
        "steps": model.steps,
        "examples": model.examples,
        "losses": [list(pair) for pair in model.losses],
        "seconds": model.seconds,
    }
    partial_note = note.with_suffix(".part")
    partial_note.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    partial_note.replace(note)
    return model


def store_calibration(model_spec: str, calibration: Calibration, fitted_on: dict[str, Any]) -> Path | None:
    """Put the calibration beside the model's weights; None for a model that is no folder (the shipped one)."""
    folder = Path(model_spec.partition(":")[2] or "\0missing") if ":" in model_spec else None
    if folder is None or not folder.is_dir():
        return None
    path = folder / CALIBRATION_FILE
    path.write_text(json.dumps({**calibration.to_dict(), "fitted_on": fitted_on}, indent=1) + "\n", encoding="utf-8")
    return path
