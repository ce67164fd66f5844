"""Pictures for pages: read where they can be, as JPEG files of bounded size."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image as PillowImage

from segagent.core import BoolMask, Image, InputError, Pixels

_BLANK = 235

_SMALLER = ((1.0, 82), (1.0, 65), (0.75, 65), (0.5, 60), (0.3, 50))
"""(scale, JPEG quality) in the order that they are tried."""


def picture_or_blank(load: Callable[[str], Image] | None, name: str, height: int, width: int) -> tuple[Image, str]:
    """The picture that ``load`` gives for ``name``, or a blank one of its size and why; no reason without ``load``."""
    blank = Image.of(np.full((height, width, 3), _BLANK, np.uint8))
    if load is None:
        return blank, ""
    try:
        image = load(name)
    except InputError as error:
        return blank, str(error)
    if (image.height, image.width) != (height, width):
        return blank, f"image {name}: {image.width} x {image.height} now, was {width} x {height}; not shown"
    return image, ""


def jpeg_file(pixels: Pixels | BoolMask, longest: int | None = None, *, quality: int = 82) -> bytes:
    """A JPEG file of ``pixels``, scaled to ``longest`` pixels on the longer side where that is given."""
    picture = PillowImage.fromarray(pixels)
    if longest is not None:
        scale = longest / max(picture.size)
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def jpeg_within(pixels: Pixels, most_bytes: int) -> bytes:
    """A JPEG file of ``pixels`` of at most ``most_bytes``: coarser, then smaller; where nothing helps, the smallest."""
    file = b""
    for scale, quality in _SMALLER:
        file = jpeg_file(pixels, round(scale * max(pixels.shape[:2])), quality=quality)
        if len(file) <= most_bytes:
            break
    return file
