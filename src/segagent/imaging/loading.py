"""Reading pictures and masks from files nobody vouches for.

Every file that cannot be used raises :class:`~segagent.core.InputError` with one line: the file, what is wrong, what
to do. The size is read from the header and compared with a limit before anything is decoded, only common raster
formats are tried, and only regular files are opened.

What becomes of a picture (:func:`load_image`):

========================  ==================================================================================
EXIF orientation          applied: the array is what a viewer shows
several frames            the first one (GIF, APNG, animated WebP, TIFF pages)
transparency              laid on white, as a page would show it (RGBA, LA, palette and ``tRNS`` transparency)
1-bit, grey, palette      converted to RGB
16-bit grey or colour     scaled to 0..255 from the range that its brightest value needs, a power of two: 0..4095 for
                          12-bit values stored in 16 bits, 0..65535 for full ones; values up to 255 stay as they are
CMYK, YCbCr               converted to RGB
floating point, other     refused
========================  ==================================================================================

Which pixels a mask file selects is told in :func:`load_mask`.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from segagent.core import BoolMask, Image, InputError, frozen_mask
from segagent.imaging.sixteen_bits import DEEP, eight_bit, is_deep, is_dim, stretch
from segagent.imaging.spelling import spelled_otherwise

DEFAULT_MAX_PIXELS = 64_000_000
"""Pictures with more pixels than this are refused before decoding (64 megapixels; about 200 MB as RGB)."""

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_ORIENTATION_TAG = 0x0112
_LABELS = 24
"""A label image has at most so many labels, and each at least so many pixels on average."""
_DECODING_ERRORS = (
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    EOFError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    MemoryError,
    struct.error,
    zlib.error,
    UserWarning,
)


def load_image(path: str | Path, *, max_pixels: int = DEFAULT_MAX_PIXELS, content: bytes | None = None) -> Image:
    """The picture in a file as a viewer shows it: uint8 RGB (height, width, 3); rules in the module's docstring.

    Where ``content``, the file's bytes, is given, ``path`` only names it in errors. Raises ``InputError`` if the file
    is missing, not a picture, damaged, or has more than ``max_pixels`` pixels.
    """
    with _opened(Path(path), "image", max_pixels, content) as picture:
        shown = _stretched(Path(path), content) if is_dim(picture) else picture
        return Image.of(_upright(_rgb(shown, Path(path)), picture))


def stored_size(path: str | Path) -> tuple[int, int]:
    """Height and width as the file has them, before its EXIF orientation turns it. Raises as :func:`load_image`."""
    with _opened(Path(path), "image", DEFAULT_MAX_PIXELS) as picture:
        return picture.height, picture.width


def load_mask(
    path: str | Path,
    height: int,
    width: int,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    content: bytes | None = None,
) -> BoolMask:
    """The object's pixels in a mask file: read-only bool (height, width), EXIF orientation applied.

    ``content`` as in :func:`load_image`.

    - 8-bit grey and RGB: brighter than 127 in any channel.
    - 1-bit: the white pixels.
    - Values 0 and 1 only (a label mask saved as grey): the ones.
    - Palette: with grey colours as 8-bit grey; with coloured ones (label masks) every colour but black.
    - 16-bit: upper half of the range; if no value exceeds 255, as 8-bit.
    - Transparent pixels are outside (the picture is laid on black).

    Raises ``InputError`` as :func:`load_image` does, for a mask of another size (naming both), and for a mask that has
    values but none that counts as object, which would otherwise pass silently for an empty one, or of which more would
    be lost than taken (a label image whose 255 marks void pixels).
    """
    values, _ = _mask_values(Path(path), height, width, max_pixels, content)
    if values.dtype == np.bool_:
        return frozen_mask(values)
    return frozen_mask(_selected(values, Path(path)))


def load_mask_with_ignore(
    path: str | Path, height: int, width: int, *, ignore_value: int = 128, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[BoolMask, BoolMask | None]:
    """A mask and the pixels to leave out of its IoU, both read-only bool (height, width).

    As GrabCut's masks have it: 255 object, ``ignore_value`` undecided border, 0 rest. Only 8-bit grey files can hold
    ignored pixels; the second value is None where there are none. Everything else as :func:`load_mask`.
    """
    values, mode = _mask_values(Path(path), height, width, max_pixels)
    if values.dtype == np.bool_:
        return frozen_mask(values), None
    if mode == "L":
        ignore = values == ignore_value
        if ignore.any():
            if not values[~ignore].any():
                raise InputError(
                    f"mask {path}: no pixel counts as object, for {ignore_value} marks undecided ones; "
                    "write the object as 255 and the rest as 0"
                )
            return frozen_mask(_selected(np.where(ignore, 0, values), Path(path))), frozen_mask(ignore)
    return frozen_mask(_selected(values, Path(path))), None


def _selected(values: npt.NDArray[Any], path: Path) -> BoolMask:
    """Threshold of 8-bit values (height, width); 0/1 label masks are understood."""
    brightest = int(values.max(initial=0))
    if brightest in {0, 1}:
        return values > 0
    if brightest <= 127:
        raise InputError(
            f"mask {path}: no pixel counts as object (brightest value {brightest}, object pixels exceed 127); "
            "write the object as 255 and the rest as 0"
        )
    chosen = values > 127
    dim = values[(values > 0) & ~chosen]
    if dim.size > np.count_nonzero(chosen):
        labels = np.unique(dim)
        # Soft edges have many greys of few pixels each; labels are few and have many.
        if dim.size >= _LABELS * labels.size and labels.size <= _LABELS:
            raise InputError(
                f"mask {path}: seems to be a label image ({', '.join(map(str, labels[:8]))} cover {dim.size} pixels; "
                f"object pixels exceed 127 and are only {np.count_nonzero(chosen)}); write the object as 255 and the "
                "rest as 0"
            )
    return chosen


def _mask_values(
    path: Path, height: int, width: int, max_pixels: int, content: bytes | None = None
) -> tuple[npt.NDArray[Any], str]:
    """Upright 8-bit values (height, width), or bool where the file leaves no choice, and the file's Pillow mode."""
    with _opened(path, "mask", max_pixels, content) as picture:
        if sorted(picture.size) != sorted((width, height)):
            raise _other_size(path, *picture.size, height, width)
        mode = picture.mode
        values = _upright(_mask_channel(picture, path), picture)
    if values.shape != (height, width):
        raise _other_size(path, values.shape[1], values.shape[0], height, width)
    return values, mode


def _mask_channel(picture: PillowImage.Image, path: Path) -> npt.NDArray[Any]:
    mode = picture.mode
    if mode == "1":
        return np.asarray(picture, np.bool_)
    if mode == "L":
        return np.asarray(picture)
    if mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        return values.clip(0, 255) if values.max(initial=0) <= 255 else values // 257
    if mode == "F":
        raise _unsupported(path, "mask", mode)
    if _has_transparency(picture):
        rgba = picture.convert("RGBA")
        flat = PillowImage.new("RGBA", rgba.size, (0, 0, 0, 255))
        flat.alpha_composite(rgba)
        rgb = np.asarray(flat.convert("RGB"))
    else:
        rgb = np.asarray(_converted(picture, path, "mask"))
    brightest: npt.NDArray[Any] = rgb.max(axis=2)
    if mode in {"P", "PA"} and (rgb.min(axis=2) != brightest).any():
        return brightest > 0
    return brightest


def _rgb(picture: PillowImage.Image, path: Path) -> npt.NDArray[np.uint8]:
    mode = picture.mode
    if mode == "F":
        raise _unsupported(path, "image", mode)
    if mode.startswith("I"):
        values = np.asarray(picture).astype(np.int64)
        if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
            raise _unsupported(path, "image", f"{mode} with values beyond 16 bits")
        return np.repeat(eight_bit(values)[:, :, None], 3, axis=2)
    if _has_transparency(picture):
        rgba = picture.convert("RGBA")
        page = PillowImage.new("RGBA", rgba.size, (255, 255, 255, 255))
        page.alpha_composite(rgba)
        return np.asarray(page.convert("RGB"))
    return np.asarray(_converted(picture, path, "image"))


def _stretched(path: Path, content: bytes | None) -> PillowImage.Image:
    stretched = stretch(path.read_bytes() if content is None else content)
    if stretched is None:
        raise _unsupported(path, "image", "16-bit colour, dim and packed in an unusual way,")
    return stretched


def _has_transparency(picture: PillowImage.Image) -> bool:
    return picture.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in picture.info


def _converted(picture: PillowImage.Image, path: Path, what: str) -> PillowImage.Image:
    if picture.mode not in {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"}:
        raise _unsupported(path, what, picture.mode)
    return picture.convert("RGB")


def _upright(array: npt.NDArray[Any], picture: PillowImage.Image) -> npt.NDArray[Any]:
    """``array`` (height, width, ...) turned as the file's EXIF orientation asks; unreadable EXIF counts as none."""
    try:
        orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
    except _DECODING_ERRORS:
        orientation = 1
    match orientation:
        case 2:
            return array[:, ::-1]
        case 3:
            return array[::-1, ::-1]
        case 4:
            return array[::-1]
        case 5:
            return np.swapaxes(array, 0, 1)
        case 6:
            return np.rot90(array, -1)
        case 7:
            return np.swapaxes(array[::-1, ::-1], 0, 1)
        case 8:
            return np.rot90(array, 1)
        case _:
            return array


@contextmanager
def _opened(path: Path, what: str, max_pixels: int, content: bytes | None = None) -> Iterator[PillowImage.Image]:
    """The first frame of a picture file, decoded, size checked first; every failure inside becomes ``InputError``."""
    if content is None:
        _require_regular_file(path, what)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", message="Truncated File Read")
            with PillowImage.open(path if content is None else io.BytesIO(content), formats=_FORMATS) as picture:
                width, height = picture.size
                if width * height > max_pixels:
                    raise _too_large(path, what, f"{width} x {height} pixels", max_pixels)
                deep = is_deep(picture)
                picture.load()
                picture.info[DEEP] = deep
                yield picture
    except PillowImage.DecompressionBombError as error:
        raise _too_large(path, what, "far too many pixels", max_pixels) from error
    except UnidentifiedImageError as error:
        raise InputError(
            f"{what} {path}: not a picture that can be read; expected PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
        ) from error
    except _DECODING_ERRORS as error:
        detail = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"{what} {path}: damaged or cut short ({detail}); save or download it again") from error


def _require_regular_file(path: Path, what: str) -> None:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        twin = spelled_otherwise(path)
        told = (
            "check the path" if twin is None else f"{str(twin)!r} is there: write its name as it is, capitals included"
        )
        raise InputError(f"{what} {path}: no such file; {told}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{what} {str(path)[:200]!r}: cannot be opened ({reason}); check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{what} {path}: is a folder; give one picture file")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{what} {path}: not a regular file; give one picture file")
    if status.st_size == 0:
        raise InputError(f"{what} {path}: the file is empty (0 bytes); save or download it again")


def _too_large(path: Path, what: str, size: str, max_pixels: int) -> InputError:
    limit = f"{max_pixels / 1e6:.0f} megapixels" if max_pixels >= 1_000_000 else f"{max_pixels} pixels"
    return InputError(f"{what} {path}: {size}, more than the limit of {limit}; scale it down first")


def _unsupported(path: Path, what: str, mode: str) -> InputError:
    return InputError(f"{what} {path}: pixels of type {mode} are not supported; convert it to 8-bit RGB or grey")


def _other_size(path: Path, got_width: int, got_height: int, height: int, width: int) -> InputError:
    return InputError(
        f"mask {path}: {got_width} x {got_height} pixels, but the image has {width} x {height} (width x height); "
        "give a mask of exactly the image's size"
        + (", turned as the image's EXIF orientation turns it" if (got_height, got_width) == (width, height) else "")
    )
