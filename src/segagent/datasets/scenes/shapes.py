"""The categories: which drawing each has, how far it may tilt, and whether it is thin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from segagent.datasets.scenes import emblems, household
from segagent.datasets.scenes.drawing import Dice, Part, Pen, Points

Draw = Callable[[Pen, Dice], None]


@dataclass(frozen=True)
class Category:
    """How one class is drawn: ``tilt`` is the largest rotation in degrees, ``thin`` marks thin or holed shapes."""

    draw: Draw
    tilt: float = 25.0
    thin: bool = False


CATEGORY_SHAPES = MappingProxyType(
    {
        "arrow": Category(emblems.arrow, 180.0),
        "ball": Category(emblems.ball),
        "book": Category(household.book, 15.0),
        "bottle": Category(household.bottle),
        "car": Category(emblems.car, 15.0),
        "chair": Category(household.chair, 15.0, thin=True),
        "fish": Category(emblems.fish),
        "fork": Category(household.fork, 60.0, thin=True),
        "glasses": Category(household.glasses, thin=True),
        "hammer": Category(household.hammer, 50.0, thin=True),
        "hat": Category(emblems.hat, 20.0),
        "heart": Category(emblems.heart),
        "house": Category(emblems.house, 12.0),
        "key": Category(household.key, 60.0, thin=True),
        "ladder": Category(household.ladder, 30.0, thin=True),
        "lamp": Category(household.lamp, 15.0),
        "leaf": Category(emblems.leaf, 60.0),
        "mug": Category(household.mug),
        "mushroom": Category(emblems.mushroom),
        "ring": Category(emblems.ring, thin=True),
        "scissors": Category(household.scissors, 50.0, thin=True),
        "star": Category(emblems.star),
        "tree": Category(emblems.tree, 12.0),
        "umbrella": Category(household.umbrella, thin=True),
    }
)


def draw_category(rng: np.random.Generator, category: str) -> list[Part]:
    """The parts, in unit coordinates, of a newly drawn member of ``category``."""
    pen = Pen()
    CATEGORY_SHAPES[category].draw(pen, Dice(rng))
    return pen.parts


def random_pose(rng: np.random.Generator, category: str) -> Points:
    """A random 2x2 matrix: rotation within the category's tilt, mirroring, slight stretch (determinant near 1)."""
    tilt, mirror, stretch = rng.random(3)
    angle = np.radians(CATEGORY_SHAPES[category].tilt * (2 * tilt - 1))
    stretch = 0.9 + 0.2 * stretch
    turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    pose: Points = turn @ np.diag((-stretch if mirror < 0.5 else stretch, 1 / stretch))
    return pose
