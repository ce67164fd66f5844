"""Chat formats in files: what ``segagent doctor`` writes and ``?format=FILE`` reads."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from segagent.core import InputError, SpecError
from segagent.core.texts import read_json
from segagent.policies.chat.families import FORMATS
from segagent.policies.chat.format import ChatFormat
from segagent.policies.chat.resizing import resize_from_dict, resize_to_dict
from segagent.policies.chat.space import Space
from segagent.policies.chat.templates import check_template

SCHEMA = "segagent.chat-format/1"
FORMAT_FILE = "segagent_format.json"
"""In a checkpoint's folder: the chat format that it was fine-tuned with."""

_SPACE_KEYS = {"scale", "axes", "decimals", "closed", "offset", "box_axes", "nearest"}
_FORMAT_KEYS = {
    "color": ("green", "blue", "red"),
    "notation": ("text", "json", "point_tag"),
    "iou_style": ("percent", "unit", "either"),
}


def format_to_dict(fmt: ChatFormat, findings: dict[str, Any] | None = None) -> dict[str, Any]:
    """JSON form of a format; ``findings`` is a note for people and is not read back."""
    space = fmt.space
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "name": fmt.name,
        "space": {
            "scale": space.scale,
            "axes": space.axes,
            "decimals": space.decimals,
            "closed": space.closed,
            "offset": list(space.offset),
            "box_axes": space.box_axes,
            "nearest": space.nearest,
        },
        "resize": resize_to_dict(fmt.resize),
        "notation": fmt.notation,
        "iou_style": fmt.iou_style,
        "iou_word": fmt.iou_word,
        "quoting": fmt.quoting,
        "template": fmt.template,
        "box_template": fmt.box_template,
        "send_clean": fmt.send_clean,
        "color": fmt.color,
    }
    return data | ({"findings": findings} if findings else {})


def format_from_dict(data: object, source: str) -> ChatFormat:
    """Inverse of :func:`format_to_dict`. Raises ``InputError`` naming ``source`` and what is wrong."""
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise InputError(f'{source}: not a chat format; expected a JSON object with "schema": "{SCHEMA}"')
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise InputError(f'{source}: a chat format needs a "name"')
    fmt = ChatFormat(name, _space(data.get("space"), source))
    changes: dict[str, Any] = {"send_clean": data.get("send_clean") is True}
    if "resize" in data:
        changes["resize"] = resize_from_dict(data["resize"], source)
    for key, allowed in (*_FORMAT_KEYS.items(), ("quoting", ("json", "bare"))):
        if key in data:
            if data[key] not in allowed:
                raise InputError(f"{source}: {key!r} is one of {', '.join(allowed)}, got {data[key]!r:.50}")
            changes[key] = data[key]
    for key in ("template", "box_template"):
        if key in data:
            if not isinstance(data[key], str):
                raise InputError(f"{source}: {key!r} must be text")
            changes[key] = check_template(data[key], f"{source}: {key}")
    if isinstance(data.get("iou_word"), str):
        changes["iou_word"] = data["iou_word"]
    return replace(fmt, **changes)


def load_format(name: str) -> ChatFormat:
    """The format of a known family, or of a file. Raises ``SpecError`` if it is neither, ``InputError`` if damaged."""
    if name in FORMATS:
        return FORMATS[name]
    path = Path(name)
    if not path.is_file():
        raise SpecError(f"unknown chat format {name!r:.200}; expected a file or one of: {', '.join(FORMATS)}")
    return format_from_dict(read_json(path, "expected a chat format"), str(path))


def recorded_format(folder: str | Path) -> ChatFormat | None:
    """The format that a checkpoint in ``folder`` was fine-tuned with; None where there is none on record.

    Raises ``InputError`` if the record is damaged.
    """
    path = Path(folder) / FORMAT_FILE
    return load_format(str(path)) if path.is_file() else None


def _space(data: object, source: str) -> Space:
    if not isinstance(data, dict) or set(data) - _SPACE_KEYS or "scale" not in data:
        raise InputError(f"{source}: 'space' needs 'scale' and knows {', '.join(sorted(_SPACE_KEYS))}")
    scale, axes, decimals = data["scale"], data.get("axes", "xy"), data.get("decimals", 0)
    box_axes, offset = data.get("box_axes"), data.get("offset", [0, 0])
    numeric = isinstance(scale, int | float) and not isinstance(scale, bool)
    if scale is not None and not (numeric and math.isfinite(scale) and scale > 0):
        raise InputError(f"{source}: 'scale' is null (pixels) or a positive number, got {scale!r:.50}")
    if axes not in ("xy", "yx") or box_axes not in ("xy", "yx", None):
        raise InputError(f"{source}: axes are 'xy' or 'yx'")
    if not isinstance(decimals, int) or isinstance(decimals, bool) or not 0 <= decimals <= 6:
        raise InputError(f"{source}: 'decimals' is a whole number from 0 to 6, got {decimals!r:.50}")
    pair = isinstance(offset, list) and len(offset) == 2
    if not pair or not all(isinstance(v, int | float) and math.isfinite(v) for v in offset):
        raise InputError(f"{source}: 'offset' is a list of two numbers, got {offset!r:.50}")
    closed, nearest = (data.get(key) is True for key in ("closed", "nearest"))
    return Space(scale, axes, decimals, closed, (float(offset[0]), float(offset[1])), box_axes, nearest)
