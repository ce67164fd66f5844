"""Writing so that a reader never sees half of it: a temporary file or folder in the same place, then a rename."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image as PillowImage

from segagent.core import BoolMask, InputError, Pixels


def save_png(path: str | Path, array: Pixels | BoolMask) -> None:
    """Write pixels or a mask as PNG, atomically; see :func:`encode_png`.

    Raises ``ValueError`` for any other array, ``InputError`` if the file cannot be written.
    """
    write_bytes(path, encode_png(array))


def encode_png(array: Pixels | BoolMask) -> bytes:
    """A PNG file of uint8 RGB (height, width, 3) or grey (height, width) pixels, or of a bool mask as 0/255."""
    if array.dtype == bool:
        array = array.astype("uint8") * 255
    if array.dtype != "uint8" or array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"expected uint8 pixels or a bool mask, got {array.dtype} with shape {array.shape}")
    buffer = io.BytesIO()
    PillowImage.fromarray(array).save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def made_folder(path: str | Path) -> Path:
    """``path`` as a folder, made where it is missing. Raises ``InputError``."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder ({error.strerror}); choose another name") from error
    return folder


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a whole file or nothing. Raises ``InputError`` if it cannot be written (folder missing, disk full)."""
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write bit by bit, which appears under its name when the block ends; nothing is left if that fails.

    Raises ``InputError`` if it cannot be written (folder missing, disk full).
    """
    target = Path(path)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name[:80]}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise InputError(f"{target}: cannot be written ({error.strerror}); check the folder") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        Path(temporary).unlink(missing_ok=True)
        raise InputError(f"{target}: cannot be written ({error.strerror}); check the folder and the disk") from error
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when the block ends; nothing is left if that fails.

    Until then it is ``.NAME.part`` in the same folder; one that a killed process left there is removed. Raises
    ``InputError`` if ``path`` holds something already, or cannot be written.
    """
    target = Path(path)
    temporary = target.parent / f".{target.name}.part"
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise InputError(f"{target}: exists and holds something already; choose another folder or empty it")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise InputError(f"{target}: cannot be made a folder ({error.strerror}); choose another name") from error
    try:
        yield temporary
        if target.exists():
            target.rmdir()
        temporary.rename(target)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise InputError(f"{target}: cannot be written ({error.strerror}); check the folder and the disk") from error
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _umask() -> int:
    """The process's file mode mask; the system offers no way to read it without setting it."""
    current = os.umask(0o022)
    os.umask(current)
    return current
