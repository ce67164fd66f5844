"""The values of a generated scene: its objects, its sentences and the settings it was made with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from segagent.core.image import Pixels
from segagent.core.masks import BoolMask

Kind: TypeAlias = Literal["attribute", "position", "superlative", "relation"]
Complexity: TypeAlias = Literal["mixed", "simple", "hard"]
Split: TypeAlias = Literal["train", "val", "test"]

KINDS: tuple[Kind, ...] = ("attribute", "position", "superlative", "relation")
SIZES: tuple[str, ...] = ("small", "medium", "large")


@dataclass(frozen=True, eq=False)
class SceneObject:
    """One object. ``mask``: bool (height, width), read-only, its visible pixels; masks of a scene are disjoint.

    ``bbox`` is (x0, y0, x1, y1) of the visible pixels, x1 and y1 exclusive. ``color``, ``pattern`` and ``size``
    are names out of ``COLORS``, ``PATTERNS`` and ``SIZES``; size is that of the whole object's outline.
    """

    category: str
    color: str
    pattern: str
    size: str
    mask: BoolMask
    bbox: tuple[int, int, int, int]
    index: int


@dataclass(frozen=True)
class Expression:
    """A sentence that singles out object ``target``.

    ``candidates`` are the objects that fit its noun phrase alone (category, colour, pattern, size); ``anchor`` is the
    other object of a relation, None for the other kinds. All are indices into ``Scene.objects``.
    """

    text: str
    target: int
    kind: Kind
    candidates: tuple[int, ...]
    anchor: int | None


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture, uint8 (height, width, 3) RGB and read-only, with everything in it and sentences about it.

    ``seed`` is the entropy of the random stream it was made from (empty where that is unknown).
    """

    image: Pixels
    objects: tuple[SceneObject, ...]
    expressions: tuple[Expression, ...]
    seed: tuple[int, ...]


@dataclass(frozen=True)
class SceneConfig:
    """What scenes to make."""

    size: int = 256
    """Side in pixels, unless ``height`` or ``width`` say otherwise."""
    height: int | None = None
    """In pixels."""
    width: int | None = None
    """In pixels."""
    min_objects: int = 2
    """Of a scene."""
    max_objects: int = 7
    """Of a scene, at most 40."""
    complexity: Complexity = "mixed"
    """``simple``: few compact objects that do not overlap, on calm ground; ``hard``: many, thin and holed ones that
    overlap on cluttered ground; ``mixed``: everything from one to the other."""
    max_expressions: int = 10
    """Most sentences of a scene."""
    degrade: float = 1.0
    """In 0..1: scales blur, noise, JPEG and light changes."""
    photographs: bool = True
    """Whether grounds may be photographs."""

    def __post_init__(self) -> None:
        if min(self.shape) < 64:
            raise ValueError(f"a scene needs at least 64 pixels per side, got {self.shape}")
        if not 1 <= self.min_objects <= self.max_objects <= 40:
            raise ValueError(f"need 1 <= min_objects <= max_objects <= 40, got {self.min_objects}, {self.max_objects}")
        if self.complexity not in ("mixed", "simple", "hard"):
            raise ValueError(f"complexity is mixed, simple or hard, not {self.complexity!r}")
        if not 0 <= self.degrade <= 1:
            raise ValueError(f"degrade is a share between 0 and 1, got {self.degrade}")

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height or self.size, self.width or self.size
