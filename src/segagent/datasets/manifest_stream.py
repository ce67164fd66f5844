"""Large manifests: ``manifest.jsonl`` (one sample a line), or a ``manifest.json`` that is too big to hold.

Iterating parses one entry at a time. Whatever needs the whole (:meth:`StreamedFolder.groups`, ``num_images``, ``len``)
makes one pass that keeps four numbers a sample: where its entry begins, how long it is, and fingerprints of its image
and its id.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.core import Image, InputError
from segagent.datasets.broken import BrokenSample
from segagent.datasets.folder import FolderSample, entry_id, folder_sample
from segagent.datasets.listed import told
from segagent.datasets.manifest_entries import manifest_entries, read_entry
from segagent.datasets.sample import path_inside
from segagent.imaging import load_image

LARGE_MANIFEST_BYTES = 32 << 20
"""A ``manifest.json`` above this is streamed. Below, all of it is checked when it is opened."""


@dataclass(frozen=True, slots=True)
class StreamedGroup:
    """The samples of one image by their places in the manifest: ``places`` is (number, offset, length) each."""

    manifest: Path
    image_name: str
    places: tuple[tuple[int, int, int], ...]

    def samples(self) -> Sequence[FolderSample | BrokenSample]:
        """Read from the manifest now."""
        with self.manifest.open("rb") as file:
            return [
                _sample(self.manifest, number, read_entry(file, offset, length, _where(self.manifest, number)))
                for number, offset, length in self.places
            ]


class StreamedFolder:
    """The samples of a large manifest; see :class:`segagent.datasets.Dataset`. A bad entry is a sample that fails."""

    def __init__(self, manifest: str | Path) -> None:
        self.path = Path(manifest)
        if not self.path.is_file():
            raise InputError(f"{self.path}: no such file; a data set folder holds a manifest.json or manifest.jsonl")

    @property
    def spec(self) -> str:
        """The manifest's absolute path."""
        return str(self.path.resolve())

    @cached_property
    def fingerprint(self) -> str:
        """Of the whole file, which is read for it."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=12)).hexdigest()

    @property
    def num_images(self) -> int:
        """How many different images the samples are about."""
        return len(self._index.starts) - 1

    def __len__(self) -> int:
        return len(self._index.offsets)

    def __iter__(self) -> Iterator[FolderSample | BrokenSample]:
        for number, (_, _, entry) in enumerate(manifest_entries(self.path)):
            yield _sample(self.path, number, entry)

    def groups(self) -> Iterator[StreamedGroup]:
        """See :class:`segagent.datasets.Dataset`."""
        index = self._index
        with self.path.open("rb") as file:
            for start, end in zip(index.starts[:-1], index.starts[1:], strict=True):
                numbers = [int(number) for number in index.order[start:end]]
                places = tuple((n, int(index.offsets[n]), int(index.lengths[n])) for n in numbers)
                first = read_entry(file, places[0][1], places[0][2], _where(self.path, numbers[0]))
                yield StreamedGroup(self.path, _sample(self.path, numbers[0], first).image_name, places)

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        return load_image(path_inside(self.path.parent, name, str(self.path), "image"))

    @cached_property
    def _index(self) -> _Index:
        return _indexed(self.path)


@dataclass(frozen=True, slots=True)
class _Index:
    """Places by sample number; ``order`` has the numbers image by image, ``starts`` where each image's begin."""

    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    order: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]


def _indexed(path: Path) -> _Index:
    offsets, lengths, images, ids = array("q"), array("i"), array("Q"), array("Q")
    for number, (offset, length, entry) in enumerate(manifest_entries(path)):
        image = entry.get("image") if isinstance(entry, dict) else None
        if not isinstance(image, str):
            raise InputError(f"{_where(path, number)}: 'image' must be a path within the folder, got {told(image)}")
        offsets.append(offset)
        lengths.append(length)
        images.append(_short_hash(image))
        ids.append(_short_hash(_known_id(entry, number)))
    _, first = np.unique(np.asarray(ids), return_index=True)
    if len(first) < len(ids):
        repeated = int(np.setdiff1d(np.arange(len(ids)), first)[0])
        raise InputError(f"{_where(path, repeated)}: its id is that of an earlier sample too")
    _, first, inverse = np.unique(np.asarray(images), return_index=True, return_inverse=True)
    order = np.argsort(first[inverse], kind="stable")
    changes = np.flatnonzero(np.diff(first[inverse][order])) + 1
    starts = np.concatenate([[0], changes, [len(order)]]) if len(order) else np.zeros(1, np.int64)
    return _Index(np.asarray(offsets), np.asarray(lengths), order, starts.astype(np.int64))


def _short_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _known_id(entry: dict[str, Any], number: int) -> str:
    """The id of an entry; its number where what it has for one is none, which is told when it is used."""
    try:
        return entry_id(entry, "", number)
    except InputError:
        return f"{number:06d}"


def _where(path: Path, number: int) -> str:
    return f"{path}, samples[{number}]"


def _sample(path: Path, number: int, entry: Any) -> FolderSample | BrokenSample:
    """An entry as a sample; one that fails where something is wrong with it."""
    where = _where(path, number)
    try:
        return folder_sample(path.parent, entry, where, number)
    except InputError as error:
        reason = str(error)
    if not isinstance(entry, dict) or not isinstance(entry.get("image"), str):
        return BrokenSample(f"{number:06d}", "", reason)
    sample_id = _known_id(entry, number)
    try:
        image = path_inside(path.parent, entry["image"], where, "image")
    except InputError:
        return BrokenSample(sample_id, entry["image"], reason)
    return BrokenSample(sample_id, image.relative_to(path.parent).as_posix(), reason, partial(load_image, image))
