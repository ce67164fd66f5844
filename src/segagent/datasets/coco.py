"""COCO instance annotations as samples: one per object, whose sentence is made from its category's name.

The file is one JSON object with ``images`` (id, file_name, width, height), ``annotations`` (id, image_id, category_id,
segmentation) and ``categories`` (id, name). Its structure is checked at once, a segmentation's numbers when its mask
is asked for. Annotations that mark a crowd are no object and are left out; ``num_crowd`` tells how many there were.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from segagent.core import BoolMask, Image, InputError
from segagent.datasets.coco_masks import decode_segmentation, is_numbers
from segagent.datasets.sample import ListedGroup, content_fingerprint, grouped, path_inside
from segagent.imaging import load_image

Id: TypeAlias = int | str


@dataclass(frozen=True, slots=True)
class CocoSample:
    """One annotated object. See :class:`segagent.datasets.Sample`; ``segmentation`` as COCO has it, not decoded."""

    sample_id: str
    image: Path
    image_name: str
    height: int
    width: int
    text: str
    category: str
    segmentation: Any
    where: str
    kind: str | None = None

    def load_image(self) -> Image:
        """The decoded picture. Raises ``InputError`` naming the file, also where its size is not the listed one."""
        image = load_image(self.image)
        if (image.height, image.width) != (self.height, self.width):
            raise InputError(
                f"{self.image}: has {image.width} x {image.height} pixels, "
                f"its annotations are for {self.width} x {self.height} (width x height)"
            )
        return image

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """The object's mask, bool (height, width); nothing is ignored. Raises ``InputError`` naming the annotation."""
        try:
            mask = decode_segmentation(self.segmentation, self.height, self.width)
        except ValueError as error:
            raise InputError(f"{self.where}: {error}") from error
        if not mask.any():
            raise InputError(f"{self.where}: the segmentation covers no pixel; remove the annotation")
        return mask, None


class CocoDataset:
    """The objects of a COCO instances file, sized, indexable and lazy.

    ``categories``: the names of all categories of the file, in its order, those without an object too.

    Args:
        instances_json: the annotation file.
        images_dir: where ``file_name`` is looked up. Default: ``images`` beside the file, the file's own folder, or the
            folder of the split beside the file's folder (``annotations/instances_val2017.json``, ``val2017``),
            whichever holds the first image.
        text_template: the sentence; ``{category}`` stands for the category's name. An annotation's own ``text`` goes
            before the default.
    """

    def __init__(
        self, instances_json: str | Path, images_dir: str | Path | None = None, text_template: str = "{category}"
    ) -> None:
        self.path = Path(instances_json)
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read ({error.strerror}); expected COCO annotations") from error
        if "{category}" not in text_template:
            raise InputError(f"the text template {text_template!r} lacks {{category}}")
        self.fingerprint = content_fingerprint(content + text_template.encode("utf-8"))
        data = parsed_coco(content, self.path)
        del content
        self._prepare(data)
        images = _listed(data, "images", self.path)
        self.images_dir = Path(images_dir) if images_dir is not None else _guessed_images(self.path, images)
        self._samples, self.num_crowd = _samples(data, images, self.path, self.images_dir, text_template)
        self.categories = tuple(dict.fromkeys(str(entry["name"]) for entry in data["categories"]))
        self.spec = str(self.path.resolve())

    def _prepare(self, data: dict[str, Any]) -> None:
        """A chance for formats that differ a little to put ``data`` into COCO's form."""

    @property
    def num_images(self) -> int:
        """How many images have an object."""
        return len(self._groups)

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[CocoSample]:
        return iter(self._samples)

    def __getitem__(self, index: int) -> CocoSample:
        return self._samples[index]

    def groups(self) -> Iterator[ListedGroup]:
        """See :class:`segagent.datasets.Dataset`."""
        return iter(self._groups)

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        return load_image(path_inside(self.images_dir, name, str(self.path), "file_name"))

    @cached_property
    def _groups(self) -> Sequence[ListedGroup]:
        return grouped(self._samples)


def parsed_coco(content: bytes, path: Path) -> dict[str, Any]:
    """The file's object, its three lists present, polygons packed. Raises ``InputError``."""
    try:
        # The hook packs polygons as they are read: as lists of Python numbers they would take four times the memory.
        data = json.loads(content.decode("utf-8"), object_hook=_packed)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
        raise InputError(f"{path}: not COCO annotations; expected lists 'images', 'annotations' and 'categories'")
    return data


def _packed(value: dict[str, Any]) -> dict[str, Any]:
    polygons = value.get("segmentation")
    if isinstance(polygons, list):
        # What is no list of numbers is told, with the annotation's name, when its mask is asked for.
        value["segmentation"] = [
            np.array(polygon, np.float64) if is_numbers(polygon) else polygon for polygon in polygons
        ]
    return value


def _samples(
    data: dict[str, Any], images: list[dict[str, Any]], path: Path, images_dir: Path, template: str
) -> tuple[tuple[CocoSample, ...], int]:
    """All objects in the file's order, and the number of crowds left out."""
    by_id: dict[Id, tuple[Path, str, int, int]] = {}
    for index, entry in enumerate(images):
        where = f"{path}, images[{index}]"
        image_id = _identity(entry, "id", where)
        if image_id in by_id:
            raise InputError(f"{where}: id {image_id!r} is that of an earlier image too")
        file = path_inside(images_dir, entry.get("file_name"), where, "file_name")
        name = file.relative_to(images_dir).as_posix()
        by_id[image_id] = (file, name, _length(entry, "height", where), _length(entry, "width", where))
    names: dict[Id, str] = {}
    for index, entry in enumerate(_listed(data, "categories", path)):
        where = f"{path}, categories[{index}]"
        category = entry.get("name")
        if not isinstance(category, str) or not category.strip():
            raise InputError(f"{where}: 'name' must be words, got {category!r:.80}")
        names[_identity(entry, "id", where)] = category
    samples: list[CocoSample] = []
    seen: set[str] = set()
    num_crowd = 0
    for index, entry in enumerate(_listed(data, "annotations", path)):
        place = f"{path}, annotations[{index}]"
        sample_id = str(_identity(entry, "id", place))
        where = f"{place} (id {sample_id})"
        if sample_id in seen:
            raise InputError(f"{where}: an earlier annotation has this id too")
        seen.add(sample_id)
        image_id, category_id = _identity(entry, "image_id", where), _identity(entry, "category_id", where)
        if image_id not in by_id:
            raise InputError(f"{where}: image_id {image_id!r} is not in 'images'")
        if category_id not in names:
            raise InputError(f"{where}: category_id {category_id!r} is not in 'categories'")
        if entry.get("iscrowd", 0) not in (0, 1):
            raise InputError(f"{where}: 'iscrowd' must be 0 or 1, got {entry['iscrowd']!r:.80}")
        if entry.get("iscrowd", 0):
            num_crowd += 1
            continue
        if not isinstance(entry.get("segmentation"), list | dict):
            raise InputError(f"{where}: 'segmentation' must be polygons or RLE, got {entry.get('segmentation')!r:.60}")
        file, name, height, width = by_id[image_id]
        category = names[category_id]
        text = _text_of(entry, template, category)
        samples.append(CocoSample(sample_id, file, name, height, width, text, category, entry["segmentation"], where))
    return tuple(samples), num_crowd


def _text_of(entry: dict[str, Any], template: str, category: str) -> str:
    """An annotation's own sentence where it has one and no other wording is asked for; else the template."""
    own = entry.get("text")
    if template == "{category}" and isinstance(own, str) and own.strip():
        return own.strip()
    return template.replace("{category}", category)


def _listed(data: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    entries = data[key]
    if not isinstance(entries, list):
        raise InputError(f"{path}: {key!r} must be a list, got {type(entries).__name__}")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise InputError(f"{path}, {key}[{index}]: expected an object, got {type(entry).__name__}")
    return entries


def _identity(entry: dict[str, Any], key: str, where: str) -> Id:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"{where}: {key!r} must be a whole number or text, got {value!r:.80}")
    return value


def _length(entry: dict[str, Any], key: str, where: str) -> int:
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where}: {key!r} must be a whole number of pixels above 0, got {value!r:.80}")
    return value


def _guessed_images(path: Path, images: list[dict[str, Any]]) -> Path:
    split = path.stem.removeprefix("instances_")
    candidates = (path.parent / "images", path.parent, path.parent.parent / split)
    first = images[0].get("file_name") if images else None
    if isinstance(first, str) and "\0" not in first:
        for candidate in candidates:
            if (candidate / first).is_file():
                return candidate
    return next((candidate for candidate in candidates if candidate.is_dir()), candidates[0])
