"""What every data set offers, whatever its format: samples by reference, grouped by image, nothing decoded yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from segagent.core import BoolMask, Image, InputError


class Sample(Protocol):
    """One sentence about one image. It holds no pixels (generated scenes excepted: their samples share one scene)."""

    @property
    def sample_id(self) -> str:
        """Unique in its data set."""
        ...

    @property
    def image_name(self) -> str:
        """Which image of the data set; samples about one image share it."""
        ...

    @property
    def text(self) -> str:
        """What is to be found."""
        ...

    @property
    def category(self) -> str | None:
        """The object's category, where the data set tells."""
        ...

    @property
    def kind(self) -> str | None:
        """The data set's own label of the expression's kind."""
        ...

    def load_image(self) -> Image:
        """The decoded picture. Raises ``InputError`` naming the file."""
        ...

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """The true mask, bool (height, width) of the image, and pixels to leave out of the IoU or None.

        Empty where no object fits the words. Give the already decoded ``image`` where there is one. Raises
        ``InputError`` naming file and entry.
        """
        ...


class SampleGroup(Protocol):
    """All samples about one image: small, and it can be sent to another process."""

    @property
    def image_name(self) -> str:
        """Which image of the data set."""
        ...

    def samples(self) -> Sequence[Sample]:
        """The samples, in the data set's order."""
        ...


class Dataset(Protocol):
    """An iterable of samples that costs no more memory than its annotations do.

    Iterating gives the samples in the data set's own order, :meth:`groups` gives them image by image: images in the
    order of their first sample, the samples of an image in the data set's order.
    """

    @property
    def spec(self) -> str:
        """What ``open_dataset`` makes this data set from, paths absolute."""
        ...

    @property
    def fingerprint(self) -> str:
        """Changes when the annotations do."""
        ...

    @property
    def num_images(self) -> int:
        """How many groups there are."""
        ...

    def __iter__(self) -> Iterator[Sample]: ...

    def groups(self) -> Iterator[SampleGroup]:
        """The samples, image by image."""
        ...

    def load_image(self, name: str) -> Image:
        """The picture whose ``image_name`` this is. Raises ``InputError``."""
        ...


@dataclass(frozen=True, slots=True)
class ListedGroup:
    """A group whose samples are at hand."""

    image_name: str
    listed: tuple[Sample, ...]

    def samples(self) -> Sequence[Sample]:
        """See :class:`SampleGroup`."""
        return self.listed


class GroupsAtHand:
    """What data sets share that have their groups in ``_groups``. See :class:`Dataset`."""

    _groups: Sequence[SampleGroup]

    @property
    def num_images(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def __iter__(self) -> Iterator[Sample]:
        for group in self._groups:
            yield from group.samples()

    def groups(self) -> Iterator[SampleGroup]:
        """See :class:`Dataset`."""
        return iter(self._groups)


def grouped(samples: Iterable[Sample]) -> list[ListedGroup]:
    """``samples`` image by image, in the order that :class:`Dataset` promises."""
    by_image: dict[str, list[Sample]] = {}
    for sample in samples:
        by_image.setdefault(sample.image_name, []).append(sample)
    return [ListedGroup(name, tuple(listed)) for name, listed in by_image.items()]


def content_fingerprint(content: bytes) -> str:
    """A short name of a file's content."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def path_inside(folder: Path, value: Any, where: str, key: str) -> Path:
    """``value`` as a path below ``folder``; ``..``, and paths and links out of the folder are refused.

    An absolute path that lies below the folder is taken as what it is there. Raises ``InputError`` that begins with
    ``where`` and names ``key``.
    """
    if not isinstance(value, str) or not value or "\0" in value:
        raise InputError(f"{where}: {key!r} must be a path within the folder, got {value!r:.80}")
    relative = PurePosixPath(value.replace("\\", "/"))
    root = folder.resolve()
    if relative.is_absolute():
        below = next((one for one in (root, folder.absolute()) if relative.is_relative_to(one.as_posix())), None)
        relative = relative if below is None else relative.relative_to(below.as_posix())
    path = folder / relative
    if relative.is_absolute() or ".." in relative.parts or not path.resolve().is_relative_to(root):
        raise InputError(
            f"{where}: {key!r} points outside the data set folder: {value!r:.200}; expected a path below {folder}"
        )
    return path
