"""What the readers share: samples by reference, data sets that are a list of them, and words for what is missing."""

from __future__ import annotations

import hashlib
import math
import reprlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from segagent.core import BoolMask, Image, InputError
from segagent.datasets.sample import GroupsAtHand, SampleGroup, grouped, path_inside
from segagent.imaging import load_image, stored_size


class MaskSource(Protocol):
    """Where a sample's mask comes from; small, and nothing is decoded before :meth:`read`."""

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """Mask and ignored pixels or None, bool (height, width). Raises ``ValueError`` or ``InputError``."""
        ...


@dataclass(frozen=True, slots=True)
class ListedSample:
    """One sentence about one image. See :class:`segagent.datasets.Sample`.

    ``where`` names annotation file and entry. ``size`` is [height, width] as annotated, None where the annotations do
    not tell.
    """

    sample_id: str
    image: Path
    image_name: str
    text: str
    target: MaskSource
    where: str
    category: str | None = None
    kind: str | None = None
    size: tuple[int, int] | None = None

    def load_image(self) -> Image:
        """The decoded picture. Raises ``InputError`` naming the file, also where its size is not the listed one."""
        image = load_image(self.image)
        if self.size is not None and (image.height, image.width) != self.size:
            turned = self.size == (image.width, image.height) and stored_size(self.image) == self.size
            raise InputError(
                f"{self.image}: has {image.width} x {image.height} pixels, "
                f"its annotations are for {self.size[1]} x {self.size[0]} (width x height)"
                + ("; its EXIF orientation turns it and they were made on it unturned: turn either" if turned else "")
            )
        return image

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.Sample`; the image is decoded only where the annotations lack its size."""
        if image is not None:
            height, width = image.height, image.width
        elif self.size is not None:
            height, width = self.size
        else:
            decoded = self.load_image()
            height, width = decoded.height, decoded.width
        try:
            return self.target.read(height, width)
        except ValueError as error:
            raise InputError(f"{self.where}: {error}") from error


class GroupedDataset(GroupsAtHand):
    """Images at hand, whose samples are looked up one image at a time. See :class:`segagent.datasets.Dataset`.

    Args:
        spec: what ``open_dataset`` makes it from again.
        fingerprint: of the annotations and options.
        groups: image by image; they must be cheap, for example one file name each.
        images_dir: the folder below which all images lie.
        categories: those that the source lists, in its order, whether or not an object has them.
    """

    def __init__(
        self,
        spec: str,
        fingerprint: str,
        groups: Sequence[SampleGroup],
        images_dir: Path,
        categories: Sequence[str] = (),
    ) -> None:
        self.spec = spec
        self.fingerprint = fingerprint
        self.images_dir = images_dir
        self.categories = tuple(categories)
        self._groups = groups

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        return load_image(path_inside(self.images_dir, name, self.spec, "image"))


class ListedDataset(GroupedDataset):
    """Samples at hand, sized and indexable; iterating gives them in the order of ``samples``.

    ``num_skipped``: how many annotated objects or sentences were left out on purpose (crowds, say). ``notes``: what
    people should be told about the data set, a line each: above all what was left out.
    """

    def __init__(
        self,
        spec: str,
        fingerprint: str,
        samples: Sequence[ListedSample],
        images_dir: Path,
        num_skipped: int = 0,
        categories: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> None:
        super().__init__(spec, fingerprint, grouped(samples), images_dir, categories)
        self.num_skipped = num_skipped
        self.notes = tuple(notes)
        self._samples = tuple(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[ListedSample]:
        return iter(self._samples)

    def __getitem__(self, index: int) -> ListedSample:
        return self._samples[index]


def told(value: object) -> str:
    """``value`` for an error message: one line, short, and quick even where a hostile value refers to itself."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 60
    short.maxlevel = 2
    return " ".join(short.repr(value).split())[:160]


def fingerprint_of(*parts: bytes | str) -> str:
    """A short name of several contents; where one ends and the next begins counts."""
    digest = hashlib.blake2b(digest_size=12)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def listing_fingerprint(root: Path, files: Iterable[Path], *more: bytes | str) -> str:
    """Of many files' names and sizes, for data sets whose annotations are pictures; absent ones count as such."""
    parts = []
    for file in files:
        try:
            size = file.stat().st_size
        except OSError:
            size = -1
        parts.append(f"{file.relative_to(root).as_posix()} {size}")
    return fingerprint_of("\n".join(parts), *more)


def text_of(entry: dict[str, Any], key: str, where: str) -> str:
    """A string with words in it. Raises ``InputError``."""
    value = entry.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{where}: {key!r} must be words, got {told(value)}")
    return value.strip()


def is_missing(value: object) -> bool:
    """Whether ``value`` says nothing: null, or the "not a number" that tables write in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def id_of(entry: dict[str, Any], key: str, where: str) -> int | str:
    """A whole number or text that identifies something; ``1.0``, as tables write it, is 1. Raises ``InputError``."""
    value = entry.get(key)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InputError(f"{where}: {key!r} must be a whole number or text, got {told(value)}")
    return value


def length_of(entry: dict[str, Any], key: str, where: str) -> int:
    """A size in pixels, ``640.0`` included. Raises ``InputError``."""
    value = entry.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where}: {key!r} must be a whole number of pixels above 0, got {told(value)}")
    return value


def size_of(entry: dict[str, Any], where: str) -> tuple[int, int] | None:
    """``height`` and ``width`` of an image; None where one is missing and the picture must tell. ``InputError``."""
    if is_missing(entry.get("height")) or is_missing(entry.get("width")):
        return None
    return length_of(entry, "height", where), length_of(entry, "width", where)


def objects_of(value: object, where: str) -> list[dict[str, Any]]:
    """A list of objects. Raises ``InputError`` naming the entry that is none."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got {type(value).__name__}")
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise InputError(f"{where}[{index}]: expected an object, got {type(entry).__name__}")
    return value


def first_folder(candidates: Sequence[Path]) -> Path:
    """The first folder that exists, or the first candidate; absent images are told about when they are used."""
    return next((candidate for candidate in candidates if candidate.is_dir()), candidates[0])
