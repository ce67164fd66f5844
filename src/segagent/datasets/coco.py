"""COCO instance annotations as samples: one per object, whose sentence is made from its category's name.

The file is one JSON object with ``images`` (id, file_name, width, height), ``annotations`` (id, image_id, category_id,
segmentation) and ``categories`` (id, name). Its structure is checked at once, a segmentation when its mask is asked
for: an annotation without one fails alone, and only where a mask is needed. Where an image's width or height is
missing, the picture tells. Annotations that mark a crowd are no single object: they are left out, counted and named in
``notes``, or taken as objects with ``crowds``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from segagent.core import InputError
from segagent.core.texts import parse_json, read_file
from segagent.datasets.coco_masks import is_numbers
from segagent.datasets.listed import (
    ListedDataset,
    ListedSample,
    id_of,
    is_missing,
    objects_of,
    size_of,
    told,
)
from segagent.datasets.mask_sources import CocoMasks
from segagent.datasets.sample import content_fingerprint, path_inside

_NAMED = 10

_Pictures: TypeAlias = dict[int | str, tuple[Path, str, tuple[int, int] | None]]


class CocoDataset(ListedDataset):
    """The objects of a COCO instances file, sized, indexable and lazy.

    ``categories``: the names of all categories of the file, in its order, those without an object too. What the file
    tells of them, by name: ``category_ids``, ``supercategories``. ``image_ids``: by the pictures' names, also of those
    without an object.

    Args:
        instances_json: the annotation file.
        images_dir: where ``file_name`` is looked up. Default: ``images`` beside the file, the file's own folder, or the
            folder of the split beside the file's folder (``annotations/instances_val2017.json``, ``val2017``),
            whichever holds the first image.
        text_template: the sentence; ``{category}`` stands for the category's name. An annotation's own ``text`` goes
            before the default.
        crowds: take annotations that mark a crowd as objects.

    Raises:
        InputError: naming file and entry.
    """

    def __init__(
        self,
        instances_json: str | Path,
        images_dir: str | Path | None = None,
        text_template: str = "{category}",
        *,
        crowds: bool = False,
    ) -> None:
        self.path = Path(instances_json)
        content = read_file(self.path, "expected COCO annotations")
        if "{category}" not in text_template:
            raise InputError(f"the text template {text_template!r} lacks {{category}}")
        fingerprint = content_fingerprint(content + text_template.encode("utf-8") + b"+crowds" * crowds)
        data = parsed_coco(content, self.path)
        del content
        self._prepare(data)
        images = objects_of(data["images"], f"{self.path}, images")
        folder = Path(images_dir) if images_dir is not None else guessed_images(self.path, images)
        pictures = _pictures(images, self.path, folder)
        self.image_ids = {name: identity for identity, (_, name, _) in reversed(pictures.items())}
        names = categories_of(data, self.path)
        self.category_ids = {name: identity for identity, name in reversed(names.items())}
        samples, crowd_ids = _samples(data, pictures, names, self.path, text_template, crowds=crowds)
        notes = [] if crowds or not crowd_ids else [_left_out(self.path, crowd_ids, len(data["annotations"]))]
        self.num_crowd = len(crowd_ids)
        num_skipped = 0 if crowds else len(crowd_ids)
        self.supercategories = {
            str(entry["name"]): entry["supercategory"]
            for entry in data["categories"]
            if isinstance(entry.get("supercategory"), str) and entry["supercategory"].strip()
        }
        categories = tuple(dict.fromkeys(str(entry["name"]) for entry in data["categories"]))
        super().__init__(str(self.path.resolve()), fingerprint, samples, folder, num_skipped, categories, notes)

    def _prepare(self, data: dict[str, Any]) -> None:
        """A chance for formats that differ a little to put ``data`` into COCO's form."""


def parsed_coco(content: bytes, path: Path) -> dict[str, Any]:
    """The file's object, its three lists present, polygons packed. Raises ``InputError``."""
    # The hook packs polygons as they are read: as lists of Python numbers they would take four times the memory.
    data = parse_json(content, path, object_hook=_packed)
    if not isinstance(data, dict) or not {"images", "annotations", "categories"} <= data.keys():
        raise InputError(f"{path}: not COCO annotations; expected lists 'images', 'annotations' and 'categories'")
    return data


def categories_of(data: dict[str, Any], path: Path) -> dict[int | str, str]:
    """The names of the categories by id. Raises ``InputError``."""
    names: dict[int | str, str] = {}
    for index, entry in enumerate(objects_of(data["categories"], f"{path}, categories")):
        where = f"{path}, categories[{index}]"
        category = entry.get("name")
        if not isinstance(category, str) or not category.strip():
            raise InputError(f"{where}: 'name' must be words, got {told(category)}")
        if names.setdefault(identity := id_of(entry, "id", where), category) != category:
            raise InputError(f"{where}: id {told(identity)} is that of {told(names[identity])} too")
    return names


def referred(entry: dict[str, Any], key: str, known: dict[int | str, Any], section: str, where: str) -> int | str:
    """The id under ``key``, which must be one of ``section``. Raises ``InputError``."""
    identity = id_of(entry, key, where)
    if identity in known:
        return identity
    twin = str(identity) if isinstance(identity, int) else int(identity) if identity.isdecimal() else None
    more = f" (but {told(twin)} is: write ids as numbers, or as text, in the whole file)" if twin in known else ""
    raise InputError(f"{where}: {key} {told(identity)} is not in {section!r}{more}")


def _packed(value: dict[str, Any]) -> dict[str, Any]:
    polygons = value.get("segmentation")
    if isinstance(polygons, list):
        # What is no list of numbers is told, with the annotation's name, when its mask is asked for.
        value["segmentation"] = [
            np.array(polygon, np.float64) if is_numbers(polygon) else polygon for polygon in polygons
        ]
    return value


def _pictures(images: list[dict[str, Any]], path: Path, images_dir: Path) -> _Pictures:
    """File, name and listed size of each picture by its id."""
    by_id: _Pictures = {}
    for index, entry in enumerate(images):
        where = f"{path}, images[{index}]"
        image_id = id_of(entry, "id", where)
        if image_id in by_id:
            raise InputError(f"{where}: id {told(image_id)} is that of an earlier image too")
        file = path_inside(images_dir, entry.get("file_name"), where, "file_name")
        by_id[image_id] = (file, file.relative_to(images_dir).as_posix(), size_of(entry, where))
    return by_id


def _samples(
    data: dict[str, Any],
    pictures: _Pictures,
    names: dict[int | str, str],
    path: Path,
    template: str,
    *,
    crowds: bool,
) -> tuple[list[ListedSample], list[str]]:
    """All objects in the file's order, and the ids of what marks a crowd."""
    samples: list[ListedSample] = []
    seen: set[str] = set()
    crowd_ids: list[str] = []
    for index, entry in enumerate(objects_of(data["annotations"], f"{path}, annotations")):
        place = f"{path}, annotations[{index}]"
        sample_id = str(id_of(entry, "id", place))
        where = f"{place} (id {sample_id:.80})"
        if sample_id in seen:
            raise InputError(f"{where}: an earlier annotation has this id too")
        seen.add(sample_id)
        file, name, size = pictures[referred(entry, "image_id", pictures, "images", where)]
        category = names[referred(entry, "category_id", names, "categories", where)]
        if _marks_crowd(entry, where):
            crowd_ids.append(sample_id)
            if not crowds:
                continue
        target = CocoMasks((entry.get("segmentation"),))
        text = _text_of(entry, template, category)
        samples.append(ListedSample(sample_id, file, name, text, target, where, category, size=size))
    return samples, crowd_ids


def _marks_crowd(entry: dict[str, Any], where: str) -> bool:
    value = entry.get("iscrowd")
    if is_missing(value):
        return False
    if value not in (0, 1):
        raise InputError(f"{where}: 'iscrowd' must be 0 or 1, got {told(value)}")
    return bool(value)


def _left_out(path: Path, crowd_ids: list[str], total: int) -> str:
    more = f" and {len(crowd_ids) - _NAMED} more" if len(crowd_ids) > _NAMED else ""
    return (
        f"{path}: {len(crowd_ids)} of {total} annotations mark crowds (iscrowd 1: id "
        f"{', '.join(f'{one:.40}' for one in crowd_ids[:_NAMED])}{more}) and are left out; "
        "--crowds, or crowds=objects in the specification, takes them as objects"
    )


def _text_of(entry: dict[str, Any], template: str, category: str) -> str:
    """An annotation's own sentence where it has one and no other wording is asked for; else the template."""
    own = entry.get("text")
    if template == "{category}" and isinstance(own, str) and own.strip():
        return own.strip()
    return template.replace("{category}", category)


def guessed_images(path: Path, images: list[dict[str, Any]]) -> Path:
    """The folder that seems to hold the images of the file at ``path``: see :class:`CocoDataset`."""
    split = path.stem.removeprefix("instances_")
    candidates = (path.parent / "images", path.parent, path.parent.parent / split)
    for candidate in candidates if images else ():
        try:
            if path_inside(candidate, images[0].get("file_name"), str(path), "file_name").is_file():
                return candidate
        except InputError:
            continue  # Told with its entry's place once the folder is chosen.
    return next((candidate for candidate in candidates if candidate.is_dir()), candidates[0])
