"""The models that are compared: what is trained on what, each once, into a folder of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

from segagent.datasets import open_dataset
from segagent.learning.prm import PrmConfig, train_own_prm
from segagent.learning.rl import GrpoConfig, train_grpo
from segagent.learning.sft import (
    Recipe,
    TrainedModel,
    default_recipe,
    load_annotator_set,
    train_policy_on,
    train_sft,
)
from segagent.learning.star import StarConfig, run_star
from segagent.learning.trajectories import TrajectoryConfig, generate_dataset
from segagent.reproduce.config import Level
from segagent.reproduce.gains.config import GainsConfig
from segagent.reproduce.work import Watch
from segagent.tools import make_tool

SFT, LONGER, HARD, STAR_PLUS, GRPO = "SFT", "SFT, trained on", "SFT on hard scenes too", "StaR+", "StaR+, then GRPO"
MODELS = (SFT, STAR_PLUS, LONGER, GRPO, HARD)
"""In the order in which they are made. "SFT, trained on" is S_0 trained on D_0 again for as many steps as StaR+ gets;
"SFT on hard scenes too" the same on D_0 and the annotator's own trajectories on the pictures of the rollouts."""
FOLDERS = {SFT: "sft", LONGER: "longer", HARD: "hard", STAR_PLUS: "star", GRPO: "grpo", "shipped": "shipped"}
SHIPPED = "shipped"
"""The weights that come with the package, which no training here has made."""
JUDGED = (SFT, STAR_PLUS)
"""Models that a process reward model of their own is fitted to."""


class Laboratory:
    """Makes models where the folder lacks them: trainings that were interrupted go on, finished ones are read."""

    def __init__(self, config: GainsConfig, folder: Path, watch: Watch) -> None:
        self._config, self._folder, self._watch = config, folder, watch
        self._hard = open_dataset(config.train_dataset("hard"))
        self._made: dict[tuple[str, int, bool], TrainedModel] = {}

    def annotator_file(self, level: Level) -> Path:
        """The simulated annotator's trajectories on the simple training scenes (D_0), or on the hard ones."""
        config, path = self._config, self._folder / f"d0-{level}.jsonl"
        dataset = open_dataset(config.train_dataset(level))
        with self._watch(f"the annotator's trajectories, {level} scenes", dataset.num_images, "images") as update:
            generate_dataset(
                dataset,
                partial(make_tool, config.tool),
                path,
                TrajectoryConfig(seed=config.seed),
                workers=1,
                watch=lambda made: update(made.num_images, ""),
            )
        return path

    def model(self, name: str, seed: int) -> TrainedModel:
        """The model ``name`` of one seed, without a process reward model of its own but for GRPO's."""
        if (name, seed, False) not in self._made:
            self._made[name, seed, False] = self._model(name, seed)
        return self._made[name, seed, False]

    def _model(self, name: str, seed: int) -> TrainedModel:
        config, folder = self._config, self._folder / f"seed{seed}"
        out, s_0 = folder / FOLDERS[name], folder / FOLDERS[SFT]
        if name != SFT:
            self.model(SFT, seed)
        with self._watch(f"seed {seed}: {name}", None, "steps") as update:
            told = _told(update)
            if name == SFT:
                files = [self.annotator_file("simple")]
                return train_sft(
                    "embedded", files, s_0, self._recipe(seed, config.sft_steps), fresh="bare", progress=told
                )
            recipe = self._recipe(seed, config.star_steps)
            if name == STAR_PLUS:
                settings = StarConfig(max_steps=config.max_steps, temperature=1.0, tool=config.tool, seed=seed)
                return run_star(s_0, self._hard, out, settings, recipe=recipe, progress=told)
            if name == GRPO:
                start = self.judged(STAR_PLUS, seed).spec.partition(":")[2]
                grpo = GrpoConfig(updates=config.updates, max_steps=config.max_steps, tool=config.tool, seed=seed)
                return train_grpo(
                    start, self._hard, out, grpo, watch=lambda done, total, _: update(done, f"of {total}")
                )
            levels: tuple[Level, ...] = ("simple",) if name == LONGER else ("simple", "hard")
            sets = [load_annotator_set(self.annotator_file(level)) for level in levels]
            return train_policy_on(f"embedded:{s_0}", sets, out, recipe, progress=told)

    def judged(self, name: str, seed: int) -> TrainedModel:
        """The same with a process reward model fitted to it on the hard training scenes."""
        if (name, seed, True) not in self._made:
            self._made[name, seed, True] = self._judged(name, seed)
        return self._made[name, seed, True]

    def _judged(self, name: str, seed: int) -> TrainedModel:
        config, start = self._config, self.model(name, seed).spec.partition(":")[2]
        settings = PrmConfig(max_steps=config.max_steps, steps=config.prm_steps, tool=config.tool, seed=seed)
        with self._watch(f"seed {seed}: process reward model of {name}", None, "steps") as update:
            out = self._folder / f"seed{seed}" / f"{FOLDERS[name]}-prm"
            return train_own_prm(start, self._hard, out, settings, watch=_told(update))

    def _recipe(self, seed: int, steps: int) -> Recipe:
        settings = {"object_weight": self._config.object_weight, "held_out": self._config.held_out}
        return default_recipe("embedded", seed=seed, steps=steps, **settings)


def _told(update: Callable[[float, str], None]) -> Callable[[str, int, int, float], None]:
    def tell(what: str, done: int, total: int, loss: float) -> None:
        update(done, f"{what} {done} of {total}" + (f", loss {loss:.3f}" if math.isfinite(loss) else ""))

    return tell
