"""The pictures of a run's data set: where their files are, and copies of them for exports that must hold them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from segagent.core import InputError
from segagent.datasets import Dataset, JoinedDataset, StreamedFolder
from segagent.datasets.sample import path_inside
from segagent.imaging.writing import encode_png, write_bytes

_KEPT = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Files that are copied as they are; other pictures are written as PNG."""


class UniqueNames:
    """File names that no two pictures share: the second to want one gets ``_2`` before its ending, and so on.

    ``key``: names for which it is the same would take each other's place.
    """

    def __init__(self, key: Callable[[str], str] = str) -> None:
        self._key = key
        self._given: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, picture: str, wanted: str) -> str:
        """The name of ``picture``, always the same: ``wanted`` if it is free when it is first asked for."""
        if picture not in self._given:
            path, name, number = PurePosixPath(wanted), wanted, 1
            while self._key(name) in self._taken:
                number += 1
                name = str(path.with_name(f"{path.stem}_{number}{path.suffix}"))
            self._taken.add(self._key(name))
            self._given[picture] = name
        return self._given[picture]


class Pictures:
    """Looks pictures up by the names that they have in the data set.

    Exports call a picture what :meth:`copy` calls it, so that all of one run's exports go with the same pictures.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._folder = images_folder(dataset)
        self._names = UniqueNames()

    def file_of(self, name: str) -> Path | None:
        """The picture's file, None where the data set keeps it elsewhere or it is missing."""
        folder, own = self._place(name)
        if folder is None:
            return None
        file = path_inside(folder, own, str(self._dataset.spec), "image")
        return file if file.is_file() else None

    def _place(self, name: str) -> tuple[Path | None, str]:
        """The folder that the picture lies in, and its name there."""
        if not isinstance(self._dataset, JoinedDataset):
            return self._folder, name
        dataset, own = self._dataset.part_of(name)
        return images_folder(dataset), own

    def size_of(self, name: str) -> tuple[int, int] | None:
        """(height, width), None where the picture cannot be read."""
        try:
            image = self._dataset.load_image(name)
        except InputError:
            return None
        return image.height, image.width

    def file_name(self, name: str) -> str:
        """What :meth:`copy` calls the picture: its name, with ``.png`` behind where it is not copied as it is.

        Where two would get one name (``a.gif`` and ``a.gif.png``), :class:`UniqueNames` tells them apart. Raises
        ``InputError`` for a name that would lead elsewhere.
        """
        if not self.has_name(name):
            raise InputError(f"{name!r:.200}: not a name that a picture could be written under")
        return self._names.of(name, name if self._is_kept(name) else f"{name}.png")

    @staticmethod
    def has_name(name: str) -> bool:
        """Whether a picture could be written under this name: one that leads nowhere else."""
        path = PurePosixPath(name)
        return bool(path.parts) and not (path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name)

    def _is_kept(self, name: str) -> bool:
        """Whether the picture is copied as it is."""
        return self._place(name)[0] is not None and PurePosixPath(name).suffix.lower() in _KEPT

    def content(self, name: str) -> tuple[bytes, str]:
        """The picture as a file's content, and :meth:`file_name`. Raises ``InputError`` if it cannot be read."""
        written = self.file_name(name)
        file = self.file_of(name)
        if file is None or not self._is_kept(name):
            # Where the file is missing, this raises.
            return encode_png(self._dataset.load_image(name).pixels), written
        try:
            return file.read_bytes(), written
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error

    def copy(self, name: str, folder: Path, under: str | None = None) -> str:
        """Write the picture below ``folder`` and give its name there: ``under``, or :meth:`file_name`.

        Raises ``InputError`` if it cannot be read.
        """
        content, written = self.content(name)
        written = under or written
        target = folder / written
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
        return written


def images_folder(dataset: Dataset) -> Path | None:
    """The folder that image names are relative to, None for data sets that are no files of pictures."""
    if isinstance(dataset, StreamedFolder):
        return dataset.path.parent
    folder: Path | None = getattr(dataset, "images_dir", None) or getattr(dataset, "folder", None)
    return folder
