"""The annotations of a COCO file one by one, as they stand: for comparing files, not for showing them to a policy.

Other than in :class:`segagent.datasets.CocoDataset` one bad annotation does not make the file useless, crowds are
annotations like others, and keys that COCO does not know are kept. Masks are held as compressed RLE text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from segagent.core import Image, InputError, Rle
from segagent.core.texts import read_file
from segagent.datasets.coco import categories_of, guessed_images, parsed_coco, referred
from segagent.datasets.coco_masks import is_numbers, segmentation_rle
from segagent.datasets.listed import id_of, objects_of, size_of
from segagent.datasets.sample import path_inside
from segagent.imaging import DEFAULT_MAX_PIXELS, load_image

_OWN_KEYS = ("id", "image_id", "category_id", "segmentation", "area", "bbox")
_LOOKED_FOR = 20


@dataclass(frozen=True, slots=True)
class ListedAnnotation:
    """One annotation. ``rle`` has the image's size; whether its counts do is not looked at. ``other``: further keys."""

    annotation_id: str
    image: str
    category: str
    rle: Rle
    bbox: tuple[float, ...] | None
    other: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadAnnotation:
    """An entry that is no annotation: ``annotation_id`` where it has one, and file, place and what is wrong."""

    annotation_id: str | None
    reason: str


class CocoListing:
    """A COCO file's annotations, read when they are iterated over, once.

    Raises ``InputError`` where the file, its images or its categories are not right.
    """

    def __init__(self, path: str | Path, images_dir: str | Path | None = None) -> None:
        self.path = Path(path)
        data = parsed_coco(read_file(self.path, "expected COCO annotations"), self.path)
        images = objects_of(data["images"], f"{self.path}, images")
        self._given = images_dir is not None
        self.images_dir = Path(images_dir) if images_dir is not None else guessed_images(self.path, images)
        self._images = _images(images, self.path)
        self._categories = categories_of(data, self.path)
        if not isinstance(data["annotations"], list):
            raise InputError(f"{self.path}: 'annotations' must be a list, got {type(data['annotations']).__name__}")
        self._entries: list[Any] = data["annotations"]

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ListedAnnotation | BadAnnotation]:
        """In the file's order; what was read is let go, so that the file and its masks are not held twice."""
        seen: set[str] = set()
        for index, entry in enumerate(self._entries):
            self._entries[index] = None
            where = f"{self.path}, annotations[{index}]"
            name: str | None = None
            try:
                if not isinstance(entry, dict):
                    raise InputError(f"{where}: expected an object, got {type(entry).__name__}")
                name = str(id_of(entry, "id", where))
                where = f"{where} (id {name:.80})"
                if name in seen:
                    raise InputError(f"{where}: an earlier annotation has this id too")
                seen.add(name)
                yield self._annotation(entry, name, where)
            except InputError as error:
                yield BadAnnotation(name, str(error))

    @property
    def image_names(self) -> list[str]:
        """The ``file_name`` of every image, in the file's order."""
        return [name for name, _ in self._images.values()]

    @property
    def has_images(self) -> bool:
        """Whether the folder of the images holds any of the first ones; a folder that was given is taken as it is."""
        names = (name for name, _ in islice(self._images.values(), _LOOKED_FOR))
        return self._given or any("\0" not in name and (self.images_dir / name).is_file() for name in names)

    def load_image(self, name: str) -> Image:
        """The picture with this ``file_name``. Raises ``InputError``."""
        return load_image(path_inside(self.images_dir, name, str(self.path), "file_name"))

    def _annotation(self, entry: dict[str, Any], name: str, where: str) -> ListedAnnotation:
        image, size = self._images[referred(entry, "image_id", self._images, "images", where)]
        category = self._categories[referred(entry, "category_id", self._categories, "categories", where)]
        height, width = size or self._pictured(image, where)
        try:
            rle = segmentation_rle(entry.get("segmentation"), height, width)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        bbox = entry.get("bbox")
        if bbox is not None and (not is_numbers(bbox) or len(bbox) != 4):
            raise InputError(f"{where}: 'bbox' must be four numbers, got {bbox!r:.80}")
        other = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
        box = None if bbox is None else tuple(float(value) for value in bbox)
        return ListedAnnotation(name, image, category, rle, box, other)

    def _pictured(self, name: str, where: str) -> tuple[int, int]:
        """Height and width of an image whose entry lacks them."""
        try:
            image = self.load_image(name)
        except InputError as error:
            raise InputError(f"{where}: the size of its image is not listed ({error})") from error
        return image.height, image.width


def _images(images: list[dict[str, Any]], path: Path) -> dict[int | str, tuple[str, tuple[int, int] | None]]:
    """Name, and height and width where they are listed, by id."""
    by_id: dict[int | str, tuple[str, tuple[int, int] | None]] = {}
    for index, entry in enumerate(images):
        where = f"{path}, images[{index}]"
        image_id = id_of(entry, "id", where)
        if image_id in by_id:
            raise InputError(f"{where}: id {image_id!r:.80} is that of an earlier image too")
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            raise InputError(f"{where}: 'file_name' must be a name, got {name!r:.80}")
        size = size_of(entry, where)
        if size is not None and size[0] * size[1] > DEFAULT_MAX_PIXELS:
            raise InputError(f"{where}: {size[1]} x {size[0]} pixels are more than can be read ({DEFAULT_MAX_PIXELS})")
        by_id[image_id] = (name, size)
    return by_id
