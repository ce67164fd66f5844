"""A data set that is a folder: ``manifest.json`` beside images and masks.

The manifest is one JSON object whose ``samples`` is a list of objects with ``image`` (path within the folder), ``mask``
(path within the folder, or null where no object fits the words) and ``text`` or ``category``. A sample without the key
``mask`` can be annotated and nothing else. Other keys are left alone. Generated scenes are written in this form too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core import BoolMask, Image, InputError, empty_mask
from segagent.core.texts import parse_json, read_file
from segagent.datasets.listed import id_of, is_missing
from segagent.datasets.mask_sources import NoMask
from segagent.datasets.sample import GroupsAtHand, content_fingerprint, grouped, path_inside
from segagent.imaging import load_image, load_mask_with_ignore


@dataclass(frozen=True, slots=True)
class FolderSample:
    """One sentence about one image, by reference: nothing is decoded until asked for.

    See :class:`segagent.datasets.Sample`. ``image_name`` is the image's path as the manifest has it.

    ``mask`` is None where the folder says that no object fits ``text``; a ``NoMask`` where it does not say at all.
    ``kind`` is the generator's or data set's own label of the expression's kind, ``category`` that of the object.
    """

    sample_id: str
    image: Path
    image_name: str
    text: str
    mask: Path | NoMask | None
    kind: str | None = None
    category: str | None = None

    def load_image(self) -> Image:
        """The decoded picture. Raises ``InputError`` naming the file."""
        return load_image(self.image)

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """The true mask, bool (height, width) of the image, and pixels to leave out of the IoU or None.

        Where there is no such object the mask is empty. In 8-bit grey mask files the value 128 marks pixels to ignore.
        Give the already decoded ``image`` where there is one; it is decoded again for its size otherwise.
        """
        image = image if image is not None else self.load_image()
        if self.mask is None:
            return empty_mask(image.height, image.width), None
        if isinstance(self.mask, NoMask):
            raise InputError(self.mask.reason)
        return load_mask_with_ignore(self.mask, image.height, image.width)


class FolderDataset(GroupsAtHand):
    """The samples of a folder's ``manifest.json``, sized, indexable and lazy; images are opened one at a time."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        content = read_file(self.folder / "manifest.json", "a data set folder holds a manifest.json")
        self.fingerprint = content_fingerprint(content)
        self._samples = _samples(self.folder, content)
        self._groups = grouped(self._samples)

    @property
    def spec(self) -> str:
        """The folder's absolute path."""
        return str(self.folder.resolve())

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[FolderSample]:
        return iter(self._samples)

    def __getitem__(self, index: int) -> FolderSample:
        return self._samples[index]

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        return load_image(path_inside(self.folder, name, str(self.folder), "image"))


def _samples(folder: Path, content: bytes) -> tuple[FolderSample, ...]:
    path = folder / "manifest.json"
    manifest = parse_json(content, path)
    entries = manifest.get("samples") if isinstance(manifest, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected an object with a list 'samples'")
    seen: dict[str, int] = {}
    samples = []
    for index, entry in enumerate(entries):
        sample = folder_sample(folder, entry, f"{path}, samples[{index}]", index)
        if sample.sample_id in seen:
            first = seen[sample.sample_id]
            raise InputError(f"{path}, samples[{index}]: id {sample.sample_id!r} is that of samples[{first}] too")
        seen[sample.sample_id] = index
        samples.append(sample)
    return tuple(samples)


def folder_sample(folder: Path, entry: Any, where: str, index: int) -> FolderSample:
    """An entry of a manifest, the ``index``-th, checked. Raises ``InputError`` that begins with ``where``."""
    if not isinstance(entry, dict):
        raise InputError(f"{where}: expected an object with 'image', 'mask' and 'text', got {type(entry).__name__}")
    image = path_inside(folder, entry.get("image"), where, "image")
    mask: Path | NoMask | None = NoMask(f"{where}: 'mask' is missing; write null where no object fits the text")
    if "mask" in entry:
        mask = None if entry["mask"] is None else path_inside(folder, entry["mask"], where, "mask")
    category = _optional_text(entry, "category", where)
    text = _optional_text(entry, "text", where) or category
    if not text or not text.strip():
        raise InputError(f"{where}: expected 'text' or 'category' to be words, got neither")
    return FolderSample(
        sample_id=entry_id(entry, where, index),
        image=image,
        image_name=str(image.relative_to(folder).as_posix()),
        text=text,
        mask=mask,
        kind=_optional_text(entry, "kind", where),
        category=category,
    )


def entry_id(entry: dict[str, Any], where: str, index: int) -> str:
    """The id of the ``index``-th entry, by default that number. Raises ``InputError``."""
    key = "id" if "id" in entry else "sample_id"
    return f"{index:06d}" if is_missing(entry.get(key)) else str(id_of(entry, key, where))


def _optional_text(entry: dict[str, Any], key: str, where: str) -> str | None:
    value = entry.get(key)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}: {key!r} must be text, got {value!r:.80}")
    return value
