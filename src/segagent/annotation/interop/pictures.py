"""The pictures of a run's data set: where their files are, and copies of them for exports that must hold them."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from segagent.core import InputError
from segagent.datasets import Dataset, StreamedFolder
from segagent.datasets.sample import path_inside
from segagent.imaging.writing import encode_png, write_bytes

_KEPT = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Files that are copied as they are; other pictures are written as PNG."""


class Pictures:
    """Looks pictures up by the names that they have in the data set.

    Exports call a picture what :meth:`copy` calls it, so that all of one run's exports go with the same pictures.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._folder = _images_folder(dataset)

    def file_of(self, name: str) -> Path | None:
        """The picture's file, None where the data set keeps it elsewhere or it is missing."""
        if self._folder is None:
            return None
        file = path_inside(self._folder, name, str(self._dataset.spec), "image")
        return file if file.is_file() else None

    def size_of(self, name: str) -> tuple[int, int] | None:
        """(height, width), None where the picture cannot be read."""
        try:
            image = self._dataset.load_image(name)
        except InputError:
            return None
        return image.height, image.width

    def file_name(self, name: str) -> str:
        """What :meth:`copy` calls the picture: its name, with ``.png`` behind where it is not copied as it is.

        Raises ``InputError`` for a name that would lead elsewhere.
        """
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
            raise InputError(f"{name!r:.200}: not a name that a picture could be written under")
        return name if path.suffix.lower() in _KEPT and self._folder is not None else f"{name}.png"

    def content(self, name: str) -> tuple[bytes, str]:
        """The picture as a file's content, and :meth:`file_name`. Raises ``InputError`` if it cannot be read."""
        written = self.file_name(name)
        file = self.file_of(name)
        if file is None or written != name:
            # Where the file is missing, this raises.
            return encode_png(self._dataset.load_image(name).pixels), written
        try:
            return file.read_bytes(), written
        except OSError as error:
            raise InputError(f"{file}: cannot be read ({error.strerror})") from error

    def copy(self, name: str, folder: Path) -> str:
        """Write the picture below ``folder`` and give its name there. Raises ``InputError`` if it cannot be read."""
        content, written = self.content(name)
        target = folder / written
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
        return written


def _images_folder(dataset: Dataset) -> Path | None:
    """The folder that image names are relative to, None for data sets that are no files of pictures."""
    if isinstance(dataset, StreamedFolder):
        return dataset.path.parent
    folder: Path | None = getattr(dataset, "images_dir", None) or getattr(dataset, "folder", None)
    return folder
