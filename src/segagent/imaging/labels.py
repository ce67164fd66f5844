"""Label images: small whole numbers instead of colours, one per object or class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, InputError, frozen_mask
from segagent.imaging.loading import DEFAULT_MAX_PIXELS, _mask_values, _opened, _other_size


def load_labels(
    path: str | Path, height: int, width: int, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> npt.NDArray[np.uint8]:
    """The numbers in a palette, grey or 1-bit picture, uint8 (height, width); colours play no part.

    Raises ``InputError`` for a picture of another kind or size, and for whatever :func:`load_image` refuses.
    """
    with _opened(Path(path), "label image", max_pixels) as picture:
        if picture.mode not in {"P", "L", "1"}:
            raise InputError(
                f"label image {path}: has colours ({picture.mode}); expected palette numbers or 8-bit grey"
            )
        values: npt.NDArray[Any] = np.asarray(picture, np.uint8)
    if values.shape != (height, width):
        raise _other_size(Path(path), values.shape[1], values.shape[0], height, width)
    return values


def load_trimap(
    path: str | Path, height: int, width: int, *, max_pixels: int = DEFAULT_MAX_PIXELS
) -> tuple[BoolMask, BoolMask | None]:
    """Object (brighter than 128) and undecided pixels (128 exactly; None where there are none), bool (height, width).

    GrabCut's ground truth, whatever kind of 8-bit picture it is saved as. Raises ``InputError`` as :func:`load_mask`.
    """
    values, _ = _mask_values(Path(path), height, width, max_pixels)
    if values.dtype == np.bool_:
        return frozen_mask(values), None
    ignore = values == 128
    return frozen_mask(values > 128), frozen_mask(ignore) if ignore.any() else None
