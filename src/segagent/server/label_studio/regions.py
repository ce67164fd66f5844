"""Regions of Label Studio: what a person has pointed at, read; masks, told."""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from segagent.annotation.interop.brush_rle import encode_brush
from segagent.annotation.interop.entries import length
from segagent.annotation.interop.from_label_studio import click_of, label_of, mask_of
from segagent.annotation.interop.polygons import outline
from segagent.core import BoolMask, Box, Click, Image, InputError
from segagent.server.label_studio.labelling import Control, Label

MOST_REGIONS = 200
_POINTS = ("keypointlabels", "keypoint")
_BOXES = ("rectanglelabels", "rectangle")
_MASKS = ("brushlabels", "brush", "polygonlabels", "polygon")
_WORDS = ("textarea",)
_ON_PICTURE = (*_POINTS, *_BOXES, *_MASKS)
_TOLERANCE = 1.0
"""Pixels by which a polygon may be off the mask's outline."""
_FAR = 1e6
"""Percent or degrees that no person draws."""
_SNAP = 1e-3
"""Pixels. A border that a percentage moves by less than this is where it was."""


@dataclass(frozen=True)
class Pointed:
    """What a person has pointed at or typed, in the order of Label Studio's regions.

    ``masks``: results of brushes and polygons, not drawn yet. ``label``: of what was pointed at last, ``picture`` the
    tag that it lies on; None where nothing tells.
    """

    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    masks: tuple[dict[str, Any], ...] = ()
    words: str | None = None
    label: str | None = None
    picture: str | None = None

    @property
    def something(self) -> bool:
        """Whether there is anything to go by."""
        return bool(self.clicks or self.box or self.masks or self.words)


def pointed_at(results: Any) -> Pointed:
    """The regions of an interactive request's context. Raises ``InputError`` for one that cannot be used."""
    if not isinstance(results, list) or not all(isinstance(one, dict) for one in results):
        raise InputError("context: 'result' must be a list of regions")
    if len(results) > MOST_REGIONS:
        raise InputError(f"context: {len(results)} regions, more than {MOST_REGIONS}")
    clicks: list[Click] = []
    masks: list[dict[str, Any]] = []
    box, words, label, picture = None, None, None, None
    for number, one in enumerate(results):
        kind = one.get("type")
        try:
            if kind in _POINTS:
                clicks.append(click_of(one))
            elif kind in _BOXES:
                box = _box(one)
            elif kind in _MASKS:
                masks.append(one)
            elif kind in _WORDS:
                words = _words(one)
        except ValueError as error:
            raise InputError(f"context, region {number}: {error}") from error
        if kind in _ON_PICTURE:
            if one.get("image_rotation"):
                raise InputError(f"context, region {number}: the picture is rotated in Label Studio; turn it back")
            label = label_of(one) or label
            picture = told if isinstance(told := one.get("to_name"), str) else picture
    return Pointed(tuple(clicks), box, tuple(masks), words, label, picture)


def require_size(results: Sequence[Any], image: Image) -> None:
    """Raise ``InputError`` for regions that were drawn on a picture of another size than ``image``."""
    for one in results:
        told = (one.get("original_width"), one.get("original_height"))
        if one.get("type") in _ON_PICTURE and told != (image.width, image.height):
            raise InputError(
                f"a region was drawn on a picture of {told[0]!r:.20} x {told[1]!r:.20} pixels (width x height), the "
                f"task's has {image.width} x {image.height}"
            )


def drawn(masks: Sequence[dict[str, Any]], image: Image) -> BoolMask:
    """The masks of results together, bool (height, width) of ``image``. Raises ``InputError``."""
    require_size(masks, image)  # Before anything is unpacked: a region can tell of any number of pixels.
    try:
        return mask_of(masks, image.height, image.width)
    except ValueError as error:
        raise InputError(f"a region's mask cannot be used: {error}") from error


def region(
    control: Control, label: Label, mask: BoolMask, told: str = "", score: float | None = None
) -> dict[str, Any]:
    """A region that ``control`` draws, of a mask with at least one pixel. ``told`` stands beside it."""
    height, width = mask.shape
    value: dict[str, Any] = {control.kind: [label.value]}
    if control.kind == "brushlabels":
        value |= {"format": "rle", "rle": encode_brush(mask)}
    else:
        corners = outline(mask, _TOLERANCE) * 100.0 / (width, height)
        value |= {"points": corners.tolist(), "closed": True}
    return {
        "id": secrets.token_hex(5),
        "type": control.kind,
        "from_name": control.name,
        "to_name": control.picture,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": value,
        **({} if score is None else {"score": score}),
        **({"meta": {"text": [told]}} if told else {}),
    }


def _box(result: dict[str, Any]) -> Box:
    """The pixels that a rectangle touches, a turned one by its corners. Raises ``ValueError``."""
    told = result.get("value")
    value = told if isinstance(told, dict) else {}
    numbers = [_number(value.get(key)) for key in ("x", "y", "width", "height")]
    turned = _number(value.get("rotation", 0))
    height, width = length(result.get("original_height"), "height"), length(result.get("original_width"), "width")
    x, y, wide, high = (one * side / 100 for one, side in zip(numbers, (width, height) * 2, strict=True))
    cos, sin = math.cos(math.radians(turned)), math.sin(math.radians(turned))
    # Label Studio turns rectangles about their first corner.
    corners = [(x + u * cos - v * sin, y + u * sin + v * cos) for u in (0, wide) for v in (0, high)]
    x0, y0 = (max(math.floor(min(one[i] for one in corners) + _SNAP), 0) for i in (0, 1))
    x1, y1 = (min(math.ceil(max(one[i] for one in corners) - _SNAP), most) for i, most in ((0, width), (1, height)))
    if x1 <= x0 or y1 <= y0:
        raise ValueError("the rectangle holds no pixel of the picture")
    return Box(x0, y0, x1, y1)


def _number(value: Any) -> float:
    """A finite number. Raises ``ValueError``."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FAR:
        return float(value)
    raise ValueError("a rectangle needs x, y, width, height in percent, and rotation in degrees")


def _words(result: dict[str, Any]) -> str | None:
    value = result.get("value")
    text = value.get("text") if isinstance(value, dict) else None
    lines = [text] if isinstance(text, str) else text
    if not isinstance(lines, list) or not all(isinstance(one, str) for one in lines):
        raise ValueError("typed words must be text or a list of it")
    said = [one.strip() for one in lines if one.strip()]
    return said[-1] if said else None
