"""Generated test scenes as episodes with targets: what the benchmarks of this folder measure on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segagent.core import Image
from segagent.datasets.scenes import Scene, SceneConfig, generate_scene, scene_rng
from segagent.environment import Episode, Target


@dataclass(frozen=True, eq=False)
class SceneSample:
    episode: Episode
    target: Target
    scene: Scene
    kind: str
    size: str


def scene_samples(num: int, *, split: str = "test", seed: int = 0, complexity: str = "mixed") -> list[SceneSample]:
    """One expression, drawn at random, of each of ``num`` scenes."""
    samples = []
    for index in range(num):
        scene = generate_scene(scene_rng(split, seed, index), SceneConfig(complexity=complexity))
        choice = np.random.default_rng([seed, index]).integers(len(scene.expressions))
        expression = scene.expressions[choice]
        target = scene.objects[expression.target]
        episode = Episode(
            Image.of(scene.image), expression.text, f"{split}/{seed}/{index}", f"scene {index}", seed=index
        )
        samples.append(SceneSample(episode, Target(target.mask), scene, expression.kind, target.size))
    return samples
