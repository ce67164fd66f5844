"""The models that are compared: D_0, what is trained after what, and the calibration stored with a model."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from segagent.datasets import open_dataset
from segagent.evaluation.calibration import Calibration, calibration_file, save_calibration
from segagent.learning.sft import TrainedModel
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset
from segagent.reproduce.config import MiniConfig
from segagent.reproduce.trainings import LONGER, MODELS, SFT, STAR, STAR_PLUS, TrainingJob, train_together
from segagent.reproduce.work import Watch, Workers
from segagent.tools import make_tool


def make_annotator_set(config: MiniConfig, path: Path, workers: int, watch: Watch) -> dict[str, Any]:
    """D_0: the simulated annotator's trajectories on the training scenes, into ``path``; shared by all seeds."""
    dataset = open_dataset(config.train_dataset)
    with watch("D_0: the simulated annotator's trajectories", dataset.num_images, "images") as update:
        made = generate_dataset(
            dataset,
            partial(make_tool, config.tool),
            path,
            TrajectoryConfig(seed=config.seed),
            workers=min(workers, dataset.num_images),
            watch=lambda made: update(made.num_images, f"{made.outcomes['trajectories']} trajectories"),
        )
    trajectories = made.outcomes["trajectories"]
    return {"images": made.num_images, "samples": made.num_samples, "trajectories": trajectories}


def train_models(
    config: MiniConfig, d_0: Path, out: Path, pool: Workers, watch: Watch
) -> list[dict[str, TrainedModel]]:
    """The models of each seed by name, into folders below ``out``; those that do not wait for another train together.

    Trainings that were interrupted go on. Plain StaR is missing where no rollout was good enough to be kept.
    """
    seeds = range(config.seed, config.seed + config.seeds)
    done: dict[tuple[int, str], TrainedModel] = {}
    for names in ((SFT,), (STAR_PLUS,), (LONGER, STAR)):
        jobs = []
        for seed in seeds:
            steps = done[seed, STAR_PLUS].steps if (seed, STAR_PLUS) in done else None
            jobs += [TrainingJob(config, seed, name, steps, d_0, out / f"seed{seed}") for name in names]
        for job, model in zip(jobs, train_together(jobs, pool, watch), strict=True):
            done[job.seed, job.name] = model
    return [{name: done[seed, name] for name in MODELS if done[seed, name].spec} for seed in seeds]


def store_calibration(spec: str, calibration: Calibration, notes: dict[str, Any]) -> None:
    """Put the calibration into the folder of a model that was trained here; others (the shipped one) are let be."""
    if ":" in spec and calibration_file(spec) is not None:
        save_calibration(spec, calibration, notes)
