"""Pictures of 16 bits a value that use fewer: microscopes and cameras write 10, 12 or 14 bits into files of 16.

Read as they stand they are almost black. Pillow gives grey ones whole, of colours it keeps the upper 8 bits; so colour
pictures that do not use the uppermost bit are decoded once more, by OpenCV.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

DEEP = "segagent: more than 8 bits"
"""Under this name a picture's ``info`` holds what :func:`is_deep` told before decoding."""


def eight_bit(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Values from 0 to 65535 scaled to 0..255, rounded, from the fewest bits, 8 at least, that hold the brightest."""
    largest = 2 ** max(int(values.max(initial=0)).bit_length(), 8) - 1
    scaled: npt.NDArray[np.uint8] = ((values.astype(np.int64) * 255 + largest // 2) // largest).astype(np.uint8)
    return scaled


def is_deep(picture: PillowImage.Image) -> bool:
    """Whether a file that is opened and not decoded yet holds more than 8 bits a colour, by how it is to be decoded."""
    ways = [tile[3] if isinstance(tile[3], tuple) else (tile[3],) for tile in getattr(picture, "tile", [])]
    return any(
        ";16" in part if isinstance(part, str) else picture.format == "PPM" and isinstance(part, int) and part > 255
        for way in ways
        for part in way
    )


def is_dim(picture: PillowImage.Image) -> bool:
    """Whether a decoded colour picture of 16 bits does not use the uppermost one."""
    if not picture.info.get(DEEP) or picture.mode not in {"RGB", "RGBA", "LA"}:
        return False
    values = np.asarray(picture)
    return int((values if picture.mode == "RGB" else values[..., :-1]).max(initial=0)) < 128


def stretch(content: bytes) -> PillowImage.Image | None:
    """The file of a 16-bit colour picture as RGB or RGBA of 8 bits, colours as :func:`eight_bit`, alpha from all 16.

    None where it cannot be decoded that way. No EXIF orientation is applied.
    """
    try:
        values: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if not isinstance(values, np.ndarray) or values.dtype != np.uint16 or values.ndim != 3:
        return None
    colours = eight_bit(values[:, :, 2::-1])
    if values.shape[2] == 3:
        return PillowImage.fromarray(colours)
    return PillowImage.fromarray(np.dstack([colours, (values[:, :, 3] // 257).astype(np.uint8)]))
