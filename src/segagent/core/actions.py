"""What an annotator can do in one step (paper section 1): click, draw a box, finish, undo.

All coordinates are pixels of the original image, ``x`` to the right and ``y`` down. A click names a pixel:
``x=0`` is the leftmost column. Chat formats translate to and from a model's own notation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Click:
    """A point prompt. ``positive``: inside the object but missed; otherwise outside but covered."""

    x: int
    y: int
    positive: bool

    def inside(self, height: int, width: int) -> bool:
        """Whether the clicked pixel exists in an image of ``height`` x ``width``."""
        return 0 <= self.x < width and 0 <= self.y < height


@dataclass(frozen=True, slots=True)
class Box:
    """A box prompt in pixels, ``x1`` and ``y1`` exclusive; allowed as the first action where a tool takes it."""

    x0: int
    y0: int
    x1: int
    y1: int

    def inside(self, height: int, width: int) -> bool:
        """Whether the box is not empty and lies within an image of ``height`` x ``width``."""
        return 0 <= self.x0 < self.x1 <= width and 0 <= self.y0 < self.y1 <= height


@dataclass(frozen=True, slots=True)
class Finish:
    """The annotator is content with the mask."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Take back the last click or box."""


@dataclass(frozen=True, slots=True)
class InvalidAction:
    """A reply that is not an action: it costs a step and changes nothing. Counted, never silently dropped."""

    text: str
    reason: str


Prompt: TypeAlias = Click | Box
Action: TypeAlias = Click | Box | Finish | Undo | InvalidAction


def action_to_dict(action: Action) -> dict[str, object]:
    """The JSON form of an action: ``{"type": "click", "x": 3, "y": 4, "positive": true}`` and alike."""
    match action:
        case Click(x, y, positive):
            return {"type": "click", "x": x, "y": y, "positive": positive}
        case Box(x0, y0, x1, y1):
            return {"type": "box", "x0": x0, "y0": y0, "x1": x1, "y1": y1}
        case Finish():
            return {"type": "finish"}
        case Undo():
            return {"type": "undo"}
        case InvalidAction(text, reason):
            return {"type": "invalid", "text": text, "reason": reason}


def action_from_dict(data: dict[str, object]) -> Action:
    """Inverse of :func:`action_to_dict`. Raises ``ValueError`` naming what is wrong."""

    def number(key: str) -> int:
        value = data.get(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"action field {key!r} must be a whole number, got {value!r}")
        return value

    match data.get("type"):
        case "click":
            positive = data.get("positive")
            if not isinstance(positive, bool):
                raise ValueError(f"action field 'positive' must be true or false, got {positive!r}")
            return Click(number("x"), number("y"), positive)
        case "box":
            return Box(number("x0"), number("y0"), number("x1"), number("y1"))
        case "finish":
            return Finish()
        case "undo":
            return Undo()
        case "invalid":
            return InvalidAction(str(data.get("text", "")), str(data.get("reason", "")))
        case other:
            raise ValueError(f"unknown action type {other!r}; expected click, box, finish, undo or invalid")
