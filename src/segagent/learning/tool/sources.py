"""Where training pictures and targets come from: photographs with annotated objects, pasted objects, scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from segagent.core import BoolMask, InputError, Pixels
from segagent.core.texts import read_json
from segagent.datasets.coco_masks import decode_segmentation
from segagent.datasets.scenes import SceneConfig, generate_leaf_scene, generate_scene, scene_rng
from segagent.learning.tool.config import ToolTraining

VALIDATION_MODULUS = 10
"""Photographs whose id is a multiple of this are kept for validation."""


NOT_OBJECTS = ("group", "void")
"""Kinds of annotations (key ``kind``, where a file has it) that outline no single thing."""


class Source(Protocol):
    """Something that pictures with one target object can be drawn from."""

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, BoolMask]:
        """A picture uint8 RGB (height, width, 3) and its target bool (height, width)."""
        ...


class Photographs:
    """Objects of a COCO-format folder (``instances.json`` and ``images/``), the larger the likelier (square root)."""

    def __init__(self, folder: Path, *, validation: bool = False, min_area: float = 0.002) -> None:
        annotations = folder / "instances.json"
        data = read_json(annotations, "expected COCO annotations beside an 'images' folder")
        wanted = {
            int(image["id"]): image
            for image in data["images"]
            if (int(image["id"]) % VALIDATION_MODULUS == 0) == validation
        }
        self._folder = folder
        self._names = {category["id"]: str(category["name"]) for category in data.get("categories", ())}
        self._images = wanted
        self._pixels: dict[int, Pixels] = {}
        self.unasked: list[dict[str, Any]] = [
            annotation
            for annotation in data["annotations"]
            if int(annotation["image_id"]) in wanted
            and (annotation.get("iscrowd", 0) or annotation.get("kind") in NOT_OBJECTS)
        ]
        """What outlines no single thing, but is not background either."""
        self.objects: list[dict[str, Any]] = [
            annotation
            for annotation in data["annotations"]
            if int(annotation["image_id"]) in wanted
            and not annotation.get("iscrowd", 0)
            and annotation.get("kind") not in NOT_OBJECTS
            and _area_fraction(annotation, wanted) >= min_area
        ]
        weights = np.array([_area_fraction(annotation, wanted) for annotation in self.objects]) ** 0.5
        self._weights = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, BoolMask]:
        """See :class:`Source`."""
        return self.at(int(rng.choice(len(self.objects), p=self._weights)))

    @property
    def categories(self) -> tuple[str, ...]:
        """The kinds of things that the folder's annotations tell apart."""
        return tuple(self._names.values())

    def category(self, annotation: Mapping[str, Any]) -> str:
        """Name of the category of one of ``objects``."""
        return self._names[annotation["category_id"]]

    def path(self, annotation: Mapping[str, Any]) -> Path:
        """The picture file of one of ``objects`` or ``unasked``."""
        return self._folder / "images" / str(self._images[int(annotation["image_id"])]["file_name"])

    def at(self, index: int) -> tuple[Pixels, BoolMask]:
        """Picture and target of object ``index`` of ``objects``."""
        return self.of(self.objects[index])

    def of(self, annotation: Mapping[str, Any]) -> tuple[Pixels, BoolMask]:
        """Picture and mask of one of ``objects`` or ``unasked``."""
        image = self._images[int(annotation["image_id"])]
        pixels = self._load(int(image["id"]), str(image["file_name"]))
        height, width = pixels.shape[:2]
        try:
            return pixels, decode_segmentation(annotation.get("segmentation"), height, width)
        except ValueError as error:
            raise InputError(f"annotation {annotation.get('id')} of {self._folder}: {error}") from error

    def _load(self, image_id: int, name: str) -> Pixels:
        # Decoded once: the pictures of a training folder are few and small.
        if image_id not in self._pixels:
            path = self._folder / "images" / name
            decoded = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if decoded is None:
                raise InputError(f"{path}: not a readable image")
            self._pixels[image_id] = np.ascontiguousarray(decoded[:, :, ::-1])
        return self._pixels[image_id]


class Pasted:
    """An object of one picture pasted into another; the target is the pasted object or what it covers in part."""

    def __init__(self, objects: Source, backgrounds: Source) -> None:
        self._objects = objects
        self._backgrounds = backgrounds

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, BoolMask]:
        """See :class:`Source`."""
        pixels, covered = self._backgrounds.draw(rng)
        source, shape = self._objects.draw(rng)
        rows, columns = np.flatnonzero(shape.any(axis=1)), np.flatnonzero(shape.any(axis=0))
        if rows.size == 0:
            return pixels, covered
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        cut, alpha = source[box], shape[box].astype(np.float32)
        height, width = pixels.shape[:2]
        scale = min(rng.uniform(0.15, 0.9) * min(height / cut.shape[0], width / cut.shape[1]), 3.0)
        size = (max(int(cut.shape[1] * scale), 8), max(int(cut.shape[0] * scale), 8))
        cut = np.asarray(
            cv2.resize(cut, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR), np.uint8
        )
        soft = cv2.GaussianBlur(cv2.resize(alpha, size, interpolation=cv2.INTER_LINEAR), (3, 3), 0.6)
        alpha = np.asarray(soft, np.float32)
        x0 = int(rng.integers(0, max(width - size[0], 0) + 1))
        y0 = int(rng.integers(0, max(height - size[1], 0) + 1))
        cut, alpha = cut[: height - y0, : width - x0], alpha[: height - y0, : width - x0]
        place = np.s_[y0 : y0 + alpha.shape[0], x0 : x0 + alpha.shape[1]]
        result = pixels.copy()
        mixed = result[place] + (cut.astype(np.float32) - result[place]) * alpha[..., None]
        result[place] = np.clip(mixed, 0, 255).astype(np.uint8)
        pasted = np.zeros((height, width), np.bool_)
        pasted[place] = alpha >= 0.5
        left_over = covered & ~pasted
        if rng.random() < 0.25 and left_over.sum() > 0.3 * covered.sum():
            return result, left_over
        return result, pasted


class GeneratedScenes:
    """Objects of generated scenes, made as they are needed: each picture is new."""

    def __init__(self, seed: int, split: Literal["train", "val"] = "train") -> None:
        self._seed, self._split = seed, split

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, BoolMask]:
        """See :class:`Source`."""
        while True:
            size = int(rng.choice((256, 256, 384)))
            generator = scene_rng(self._split, self._seed, int(rng.integers(1 << 40)))
            scene = generate_scene(generator, SceneConfig(size=size))
            if scene.objects:
                return scene.image, scene.objects[int(rng.integers(len(scene.objects)))].mask


class LeafScenes:
    """Regions of dead-leaves pictures: boundaries without any category."""

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, BoolMask]:
        """See :class:`Source`."""
        while True:
            pixels, masks = generate_leaf_scene(rng, 256)
            if masks:
                return pixels, masks[int(rng.integers(len(masks)))]


class Mixture:
    """Several sources, drawn from in proportion to their shares."""

    def __init__(self, parts: Sequence[tuple[float, Source]]) -> None:
        shares = np.array([share for share, _ in parts])
        self._sources = [source for _, source in parts]
        self._shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> tuple[Pixels, BoolMask]:
        """See :class:`Source`."""
        return self._sources[int(rng.choice(len(self._sources), p=self._shares))].draw(rng)


def _area_fraction(annotation: dict[str, Any], images: dict[int, dict[str, Any]]) -> float:
    image = images[int(annotation["image_id"])]
    return float(annotation["area"]) / (float(image["width"]) * float(image["height"]))


def training_source(config: ToolTraining) -> Source:
    """The mixture of pictures that ``config`` asks for."""
    scenes, leaves = GeneratedScenes(config.seed), LeafScenes()
    parts: list[tuple[float, Source]] = [(config.scene_share, scenes), (config.leaf_share, leaves)]
    if config.photographs:
        sets = [Photographs(folder) for folder in config.photographs]
        photographs = Mixture([(len(one.objects) ** 0.5, one) for one in sets])
        parts.append((config.photograph_share, photographs))
        parts.append((config.pasted_share, Pasted(photographs, photographs)))
    return Mixture(parts)
