"""Generated scenes: drawn objects on varied ground, with sentences that each single out exactly one object."""

from segagent.datasets.scenes.appearance import COLORS, PATTERNS
from segagent.datasets.scenes.generator import (
    CATEGORIES,
    GENERATOR_VERSION,
    generate_scene,
    scene_rng,
)
from segagent.datasets.scenes.language import vocabulary
from segagent.datasets.scenes.leaves import generate_leaf_scene
from segagent.datasets.scenes.model import KINDS, SIZES, Expression, Scene, SceneConfig, SceneObject

__all__ = [
    "CATEGORIES",
    "COLORS",
    "GENERATOR_VERSION",
    "KINDS",
    "PATTERNS",
    "SIZES",
    "Expression",
    "Scene",
    "SceneConfig",
    "SceneObject",
    "generate_leaf_scene",
    "generate_scene",
    "scene_rng",
    "vocabulary",
]
