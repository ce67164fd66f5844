"""The reply of policies that speak of pixels of the original image: ``Current IoU: 37. Positive point: (412, 377)``.

The IoU is in whole percent; x goes to the right and y down. It is written and read as a chat model's whose picture is
the image itself. Reading is tolerant of notation, never of meaning: a reply with no action, with two, or with a point
outside the image is an :class:`InvalidAction` that says why. Nothing is guessed and nothing is raised.
"""

from __future__ import annotations

import re

from segagent.core import Action, Finish, InvalidAction, Undo
from segagent.policies.chat.format import ChatFormat
from segagent.policies.chat.space import Space

PIXELS = ChatFormat("pixels", Space(None))

_WORD = re.compile(r"\b(finish(?:ed)?|done|undo)\b", re.IGNORECASE)
_MORE = re.compile(r"[()\[\]]|\b(?:not|no|never|don't|cannot|positive|negative|box)\b", re.IGNORECASE)


def format_reply(action: Action, predicted_iou: float | None = None) -> str:
    """The reply that says ``action`` and, where known, the IoU of the mask now seen (0..1, written in whole
    percent).
    """
    return PIXELS.render(action, 1, 1, predicted_iou)  # What pixels are called does not depend on the image's size.


def parse_reply(text: str, height: int, width: int) -> tuple[Action, float | None]:
    """The action a reply names, and the IoU in 0..1 it predicts or None.

    Args:
        text: the reply.
        height, width: size of the original image in pixels; clicks and boxes must lie inside.

    Returns:
        ``(action, predicted_iou)``; the action is ``InvalidAction(text, reason)`` unless the reply names exactly one.
        An IoU is read even where the action is invalid, provided exactly one is stated and it is within 0..100.
    """
    action, predicted = PIXELS.parse(text, height, width)
    if isinstance(action, InvalidAction) and action.reason.startswith("no action") and not _MORE.search(text):
        # A model chats, so only its last word ends an episode; here the one word that can be meant does.
        words = _WORD.findall(text)
        if len(words) == 1:
            return (Undo() if words[0].lower() == "undo" else Finish()), predicted
    return action, predicted
