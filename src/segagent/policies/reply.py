"""The reply a policy writes, and its grammar: ``Current IoU: 37. Positive point: (412, 377)``.

The IoU is in whole percent; coordinates are pixels of the original image, x to the right and y down. Reading is
tolerant of case, spacing and number notation ("412.0"), never of meaning: a reply with no action, with two, or
with a point outside the image is an :class:`InvalidAction` that says why. Nothing is guessed and nothing is
raised.
"""

from __future__ import annotations

import math
import re

from segagent.core import Action, Box, Click, Finish, InvalidAction, Undo

MAX_REPLY = 2000
"""Longer replies are not read: an action is a few words."""

_NUMBER = r"[+-]?\d{1,12}(?:\.\d{0,12})?"
_GAP = r"[ \t\r\n]*"
_IOU = re.compile(rf"\b(?:current|predicted){_GAP}m?iou{_GAP}[:=]?{_GAP}({_NUMBER}){_GAP}(%?)", re.IGNORECASE)
_ACTION = re.compile(
    rf"\b(?P<sign>positive|negative){_GAP}(?:point|click)?s?{_GAP}[:=]?{_GAP}"
    rf"(?P<point>[(\[][^()\[\]]*[)\]])?"
    rf"|\b(?:bounding{_GAP})?box{_GAP}[:=]?{_GAP}(?P<box>[(\[][^()\[\]]*[)\]])?"
    r"|\b(?P<finish>finish(?:ed)?|done)\b"
    r"|\b(?P<undo>undo)\b",
    re.IGNORECASE,
)
_BRACKETED = re.compile(r"[(\[][^()\[\]]*[)\]]")
_LIST = re.compile(rf"[(\[]{_GAP}({_NUMBER}(?:{_GAP},{_GAP}{_NUMBER})*){_GAP}[)\]]")
_NEGATION = re.compile(r"\b(?:not|no|never|don't|do not|cannot)\b", re.IGNORECASE)


def format_reply(action: Action, predicted_iou: float | None = None) -> str:
    """The reply that says ``action`` and, where known, the IoU of the mask now seen (0..1, written in whole
    percent).
    """
    head = "" if predicted_iou is None else f"Current IoU: {round(100 * min(1.0, max(0.0, predicted_iou)))}. "
    match action:
        case Click(x, y, positive):
            return f"{head}{'Positive' if positive else 'Negative'} point: ({x}, {y})"
        case Box(x0, y0, x1, y1):
            return f"{head}Box: ({x0}, {y0}, {x1}, {y1})"
        case Finish():
            return f"{head}Finish"
        case Undo():
            return f"{head}Undo"
        case InvalidAction(text, _):
            return text


def parse_reply(text: str, height: int, width: int) -> tuple[Action, float | None]:
    """The action a reply names, and the IoU in 0..1 it predicts or None.

    Args:
        text: the reply.
        height, width: size of the original image in pixels; clicks and boxes must lie inside.

    Returns:
        ``(action, predicted_iou)``; the action is ``InvalidAction(text, reason)`` unless the reply names exactly one.
        An IoU is read even where the action is invalid, provided exactly one is stated and it is within 0..100.
    """
    if len(text) > MAX_REPLY:
        return InvalidAction(text, f"the reply is longer than {MAX_REPLY} characters"), None
    return _parse_action(text, height, width), _parse_iou(text)


def _parse_iou(text: str) -> float | None:
    found = _IOU.findall(text)
    if len(found) != 1:
        return None
    percent = float(found[0][0])
    return percent / 100 if 0 <= percent <= 100 else None


def _parse_action(text: str, height: int, width: int) -> Action:
    rest = _IOU.sub(" ", text)
    found = list(_ACTION.finditer(rest))
    if not found:
        return InvalidAction(text, "no action: expected a positive or negative point, a box, Finish or Undo")
    if len(found) > 1:
        return InvalidAction(text, f"{len(found)} actions where one is expected")
    action = found[0]
    if _NEGATION.search(rest):
        return InvalidAction(text, "the reply negates something: no action is read out of it")
    if len(_BRACKETED.findall(rest)) > (1 if action["point"] or action["box"] else 0):
        return InvalidAction(text, "coordinates that belong to no action")
    if action["finish"]:
        return Finish()
    if action["undo"]:
        return Undo()
    if action["sign"]:
        return _click(text, action["sign"].lower() == "positive", action["point"], height, width)
    return _box(text, action["box"], height, width)


def _numbers(bracketed: str | None, count: int) -> list[float] | str:
    """The ``count`` numbers of "(a, b)", or what is wrong with it."""
    if bracketed is None:
        return "no coordinates in brackets"
    inner = _LIST.fullmatch(bracketed)
    if inner is None:
        return f"{bracketed!r} is no list of numbers"
    numbers = [float(part) for part in inner[1].split(",")]
    if len(numbers) != count:
        return f"{len(numbers)} numbers in {bracketed!r}, expected {count}"
    return numbers


def _click(text: str, positive: bool, bracketed: str | None, height: int, width: int) -> Action:
    numbers = _numbers(bracketed, 2)
    if isinstance(numbers, str):
        return InvalidAction(text, numbers)
    click = Click(math.floor(numbers[0]), math.floor(numbers[1]), positive)
    if not click.inside(height, width):
        return InvalidAction(text, f"the point is outside the image of {width} x {height} pixels")
    return click


def _box(text: str, bracketed: str | None, height: int, width: int) -> Action:
    numbers = _numbers(bracketed, 4)
    if isinstance(numbers, str):
        return InvalidAction(text, numbers)
    box = Box(math.floor(numbers[0]), math.floor(numbers[1]), math.ceil(numbers[2]), math.ceil(numbers[3]))
    if not box.inside(height, width):
        return InvalidAction(text, f"the box is empty or not inside the image of {width} x {height} pixels")
    return box
