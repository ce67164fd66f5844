"""Masks of things as people and tools get them wrong, looked at once: what judging outlines is learnt from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Click, Image, Pixels, SegmentationTool, State, empty_mask, iou
from segagent.datasets.corruption import spoil
from segagent.datasets.faults import blotted
from segagent.environment.annotator import next_click
from segagent.environment.mdp import step_batch
from segagent.learning.policy.scene_store import SceneStore
from segagent.learning.tool.sources import Photographs
from segagent.policies.embedded.quality import CELLS, FINE, MARGIN, SIDE, coverage_at, read_off
from segagent.policies.embedded.regions import covered, look_into, looked_at, shrunken
from segagent.vision.encoder import Pyramid
from segagent.vision.sight import Sight

PER_LOOK = 4
"""Masks that are judged in one look."""
GEOMETRIC = ("dilate", "erode", "cut", "shift", "coarse", "merge", "bite", "blot")
_STRENGTH = (0.35, 0.97)
_CLEAN = 0.35


@dataclass(frozen=True, eq=False)
class Thing:
    """A thing of a picture and all other things there, masks bool (height, width)."""

    pixels: Pixels
    mask: BoolMask
    others: list[BoolMask]


class Things:
    """Things of COCO-format folders, each drawn in proportion to the square root of its number of things; a share
    ``from_scenes`` of all comes from ``scenes``.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        *,
        validation: bool = False,
        scenes: SceneStore | None = None,
        from_scenes: float = 0.2,
    ) -> None:
        self._scenes, self._from_scenes = scenes, from_scenes
        self._sources = [Photographs(folder, validation=validation) for folder in folders]
        self._chosen: list[list[int]] = []
        self._beside: list[dict[int, list[int]]] = []
        for source in self._sources:
            beside: dict[int, list[int]] = {}
            for number, annotation in enumerate(source.objects):
                if annotation.get("kind") != "part":
                    beside.setdefault(int(annotation["image_id"]), []).append(number)
            self._beside.append(beside)
            self._chosen.append([number for numbers in beside.values() for number in numbers])
        self.num = sum(len(chosen) for chosen in self._chosen)
        """How many things the folders hold."""
        roots = np.sqrt([len(chosen) for chosen in self._chosen])
        self._shares = roots / max(roots.sum(), 1)

    def draw(self, rng: np.random.Generator) -> Thing:
        """A random thing."""
        if self._scenes is not None and rng.random() < self._from_scenes:
            scene = self._scenes[int(rng.integers(len(self._scenes)))]
            masks = [scene.mask(number) for number in range(len(scene.names))]
            return Thing(scene.pixels, masks.pop(int(rng.integers(len(masks)))), masks)
        which = int(rng.choice(len(self._sources), p=self._shares))
        source, chosen = self._sources[which], self._chosen[which]
        number = chosen[int(rng.integers(len(chosen)))]
        pixels, mask = source.at(number)
        beside = self._beside[which][int(source.objects[number]["image_id"])]
        return Thing(pixels, mask, [source.at(other)[1] for other in beside if other != number])


def faulty(rng: np.random.Generator, thing: Thing, kind: str) -> BoolMask | None:
    """The thing's mask gone wrong in the way of ``kind``; None where that cannot be."""
    if kind in ("bite", "blot"):
        return blotted(thing.mask, rng, add=kind == "blot")
    spoiled = spoil(kind, thing.mask, thing.others, rng, strength=_STRENGTH)  # type: ignore[arg-type]
    return spoiled if spoiled is not None and spoiled.any() else None


def clicked(
    rng: np.random.Generator, thing: Thing, tool: SegmentationTool, image: Image, clicks: int
) -> list[BoolMask]:
    """The tool's masks after each of ``clicks`` clicks of the simulated annotator."""
    embedding, state, masks = tool.embed([image])[0], State(empty_mask(image.height, image.width)), []
    for _ in range(clicks):
        made = [p for p in state.prompts if isinstance(p, Click)]
        click = next_click(state.mask, thing.mask, made)
        if click is None:
            break
        state = step_batch([(embedding, state, click)], tool)[0]
        masks.append(state.mask)
    return [mask for mask in masks if mask.any()]


@dataclass(frozen=True, eq=False)
class Looks:
    """n looks at things with up to PER_LOOK masks each. ``features``: of strides 4 to 32, float16 (n, channels, h, w).

    ``masks`` uint8 (n, PER_LOOK, FINE, FINE), 255 full; ``true`` the same (n, PER_LOOK, CELLS, CELLS), of the thing
    that each mask fits best; ``iou`` float32 (n, PER_LOOK) with that, NaN where there is no such mask.
    """

    features: tuple[npt.NDArray[np.float16], ...]
    masks: npt.NDArray[np.uint8]
    true: npt.NDArray[np.uint8]
    iou: npt.NDArray[np.float32]

    def save(self, path: Path) -> None:
        """Write a ``.npz``, whole or not at all."""
        partial = path.with_suffix(".partial.npz")
        fine, middle, coarse, coarsest = self.features
        np.savez(
            partial, masks=self.masks, true=self.true, iou=self.iou, stride4=fine, stride8=middle, stride16=coarse,
            stride32=coarsest,
        )  # fmt: skip
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> Looks:
        """Inverse of :meth:`save`."""
        with np.load(path) as data:
            features = tuple(data[f"stride{stride}"] for stride in (4, 8, 16, 32))
            return Looks(features, data["masks"], data["true"], data["iou"])

    @staticmethod
    def joined(parts: Sequence[Looks]) -> Looks:
        """All of ``parts``, one after the other."""
        features = tuple(np.concatenate(maps) for maps in zip(*(p.features for p in parts), strict=True))
        rest = (np.concatenate([getattr(p, name) for p in parts]) for name in ("masks", "true", "iou"))
        return Looks(features, *rest)


def look_at(sight: Sight, pixels: Pixels, thing: Thing, masks: Sequence[BoolMask]) -> Looks:
    """One look at ``masks`` of a thing (height, width), made for the first; the rest serve if they fit into it."""
    shape = pixels.shape[:2]
    square = looked_at(shape, coverage_at(masks[0], shape), MARGIN)
    look = look_into(pixels, square, SIDE)
    seen = np.zeros((1, PER_LOOK, FINE, FINE), np.uint8)
    true = np.zeros((1, PER_LOOK, CELLS, CELLS), np.uint8)
    ious = np.full((1, PER_LOOK), np.nan, np.float32)
    fitting = [mask for mask in masks if _similar(square, looked_at(shape, coverage_at(mask, shape), MARGIN))]
    for place, mask in enumerate(fitting[:PER_LOOK]):
        best = max([thing.mask, *thing.others], key=lambda other: iou(mask, other))
        ious[0, place] = iou(mask, best)
        inside = read_off(look, covered(coverage_at(mask, shape), shape, square, SIDE))
        seen[0, place] = np.rint(255 * inside)
        around = covered(coverage_at(best, shape), shape, square, SIDE)
        true[0, place] = np.rint(255 * cv2.resize(around, (CELLS, CELLS), interpolation=cv2.INTER_AREA))
    pyramid: Pyramid = sight.views(look[None])
    return Looks(tuple(level.numpy().astype(np.float16) for level in pyramid[1:]), seen, true, ious)


def _similar(one: tuple[int, int, int], other: tuple[int, int, int]) -> bool:
    """Whether two squares (left, top, length) show about the same."""
    apart = max(abs(one[axis] + one[2] / 2 - other[axis] - other[2] / 2) for axis in (0, 1))
    return apart < 0.2 * one[2] and 0.7 < other[2] / one[2] < 1.4


def draw_looks(
    rng: np.random.Generator,
    sight: Sight,
    things: Things,
    num: int,
    tool: SegmentationTool | None,
    clicked_share: float,
) -> Iterator[Looks]:
    """``num`` looks at things that are drawn, some mirrored. A share of the looks is made for masks of ``tool``."""
    while num > 0:
        thing = things.draw(rng)
        if rng.random() < 0.5:
            flipped = [np.ascontiguousarray(mask[:, ::-1]) for mask in (thing.mask, *thing.others)]
            thing = Thing(np.ascontiguousarray(thing.pixels[:, ::-1]), flipped[0], flipped[1:])
        made: list[BoolMask] = []
        if tool is not None and rng.random() < clicked_share:
            made = clicked(rng, thing, tool, Image.of(thing.pixels), 3)
        if len(made) < 2:
            kinds = rng.permutation(np.array(GEOMETRIC))[:PER_LOOK].tolist()
            made += [mask for kind in kinds if (mask := faulty(rng, thing, kind)) is not None]
        if not made:
            continue
        made = [made[int(n)] for n in rng.permutation(len(made))]
        place = 0 if rng.random() < _CLEAN else 1
        yield look_at(sight, shrunken(thing.pixels), thing, [*made[:place], thing.mask, *made[place:]])
        num -= 1
