"""From what a reply says to one action, or to the reason why there is none. Never a guess."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

from segagent.core import Action, Box, Click, Finish, InvalidAction, Undo
from segagent.policies.chat.reading import Evidence, Number, WrittenPoint, read_reply
from segagent.policies.chat.space import Size, Space

IouStyle: TypeAlias = Literal["percent", "unit", "either"]
"""How a model writes an IoU: 0..100, 0..1, or one of both (only what can mean but one of them is then read)."""

INVALID_KINDS = (
    "empty",
    "too long",
    "truncated",
    "malformed",
    "no action",
    "no sign",
    "no coordinates",
    "out of range",
    "wrong scale",
    "ambiguous",
    "negated",
    "repeated",
)
"""What the reason of every ``InvalidAction`` of a chat policy begins with, followed by a colon and the detail."""


class _RefusedError(Exception):
    """There is no action; the message is the reason."""


def parse_reply_in(
    reply: str, space: Space, iou_style: IouStyle, shown: Size, size: Size, *, boxed: bool = False
) -> tuple[Action, float | None]:
    """The action that ``reply`` names in the coordinates of ``space``, and the IoU in 0..1 that it predicts or None.

    ``shown`` and ``size`` are the (height, width) of the picture shown to the model and of the original image, in whose
    pixels the action is. ``boxed``: a box was asked for, so points beside one that have no sign are no action (models
    that were tuned to give both say where the object is twice). Raises nothing: whatever is not exactly one action
    inside the image is an ``InvalidAction`` whose reason begins with one of :data:`INVALID_KINDS`.
    """
    evidence = read_reply(reply)
    predicted = None if evidence.problem else predicted_iou(evidence.ious, iou_style)
    try:
        return _decide(evidence, space, shown, size, boxed), predicted
    except _RefusedError as refusal:
        return InvalidAction(reply, str(refusal)), predicted


def _decide(evidence: Evidence, space: Space, shown: Size, size: Size, boxed: bool) -> Action:
    if evidence.problem:
        raise _RefusedError(evidence.problem)
    signed = bool(evidence.data_signs | evidence.prose_signs)
    beside = boxed and bool(evidence.boxes) and not signed
    points = set() if beside else {_pixel(pair, space, shown, size) for pair in evidence.points}
    # "<ref>the dog</ref><box>(...),(...)</box> Positive point: (...)": a Qwen-VL says where the object is, then acts.
    named_first = bool(points and evidence.prose_signs) and evidence.tagged_boxes == len(evidence.boxes)
    boxes = set() if named_first else {_box(numbers, space, shown, size) for numbers in evidence.boxes}
    kinds = [bool(points), bool(boxes), evidence.finish, evidence.undo]
    if len(points) > 1:
        raise _RefusedError("ambiguous: two different points")
    if len(boxes) > 1:
        raise _RefusedError("ambiguous: two different boxes")
    if sum(kinds) > 1:
        raise _RefusedError("ambiguous: more than one kind of action")
    if not any(kinds):
        if evidence.data_signs | evidence.prose_signs:
            raise _RefusedError("no coordinates: a sign without a point")
        raise _RefusedError("no action: expected a positive or negative point, a box, Finish or Undo")
    if evidence.negated:
        raise _RefusedError("negated: the reply denies something where it names the action")
    if points:
        x, y = points.pop()
        return Click(x, y, _sign(evidence) == "positive")
    if boxes:
        if evidence.data_signs | evidence.prose_signs:
            raise _RefusedError("ambiguous: a sign, and four numbers instead of two")
        return boxes.pop()
    return Finish() if evidence.finish else Undo()


def _sign(evidence: Evidence) -> str:
    signs = evidence.data_signs or evidence.prose_signs
    if evidence.data_signs and evidence.prose_signs and not evidence.data_signs <= evidence.prose_signs:
        raise _RefusedError("ambiguous: prose and JSON name different signs")
    if not signs:
        raise _RefusedError("no sign: neither positive nor negative is said of the point")
    if len(signs) > 1:
        raise _RefusedError("ambiguous: both signs are named")
    return next(iter(signs))


def _check_style(numbers: tuple[Number, ...], space: Space) -> None:
    """Refuse numbers that are written in the style of another space, though they might lie in range."""
    if any(number.percent for number in numbers) and space.scale != 100:
        raise _RefusedError("wrong scale: percent where another unit is expected")
    if not all(math.isfinite(number.value) for number in numbers):
        raise _RefusedError("out of range: a coordinate is not finite")
    if (
        space.decimals == 0
        and any(not number.whole for number in numbers)
        and all(0 <= number.value <= 1 for number in numbers)
    ):
        raise _RefusedError("wrong scale: fractions of the side where larger numbers are expected")


def _pixel(pair: WrittenPoint, space: Space, shown: Size, size: Size) -> tuple[int, int]:
    _check_style((pair.first, pair.second), space)
    x, y = pair.first.value, pair.second.value
    if not pair.named and space.axes == "yx":
        x, y = y, x
    pixel = space.point_to_pixel(x, y, shown, size)
    if pixel is None:
        raise _RefusedError("out of range: the point is outside the picture")
    return pixel


def _box(numbers: tuple[Number, ...], space: Space, shown: Size, size: Size) -> Box:
    _check_style(numbers, space)
    a, b, c, d = (number.value for number in numbers)
    if (space.box_axes or space.axes) == "yx":
        a, b, c, d = b, a, d, c
    x0, x1 = (space.edge_to_pixel(value, "x", shown, size) for value in (a, c))
    y0, y1 = (space.edge_to_pixel(value, "y", shown, size) for value in (b, d))
    if x0 is None or x1 is None or y0 is None or y1 is None:
        raise _RefusedError("out of range: the box is outside the picture")
    box = Box(x0, y0, x1, y1)
    if not box.inside(*size):
        raise _RefusedError("out of range: the box is empty")
    return box


def predicted_iou(numbers: list[Number], style: IouStyle) -> float | None:
    """The IoU in 0..1 that the numbers state, if they state one; None if none, several, or one of unclear scale."""
    values = {_iou(number, style) for number in numbers}
    return values.pop() if len(values) == 1 else None


def _iou(number: Number, style: IouStyle) -> float | None:
    value = number.value
    if not math.isfinite(value) or value < 0:
        return None
    if number.percent:
        return value / 100 if value <= 100 else None
    if style == "unit":
        return value if value <= 1 else None
    if style == "percent":
        fraction = not number.whole and 0 < value < 1
        return None if fraction or value > 100 else value / 100
    if number.whole and value == 1:
        return None
    if value <= 1:
        return value
    return value / 100 if value <= 100 else None
