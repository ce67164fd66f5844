"""An example as a conversation of one turn: pictures and prompt as at inference, and the reply that is taught."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, cast, get_args

from segagent.core import Image, InputError, InvalidAction, Pixels, Rle, SpecError
from segagent.core.actions import action_from_dict, action_to_dict
from segagent.learning.examples import Example, Origin, observation_of
from segagent.policies.chat import ChatFormat, ask, chosen_format, load_format, parse_spec

PLACEHOLDER = "<image>"
"""Where LLaMA-Factory puts a picture into a message."""

_MEDIA = (PLACEHOLDER, "<video>", "<audio>")


@dataclass(frozen=True, eq=False)
class Conversation:
    """What a model is shown and told for ``example``, and the ``reply`` it ought to write.

    ``pictures`` are uint8 RGB (height, width, 3), in the order in which they go before the prompt; ``names`` are file
    names for them, equal for equal pictures.
    """

    example: Example
    prompt: str
    reply: str
    pictures: tuple[Pixels, ...]
    names: tuple[str, ...]

    def note(self) -> str:
        """The example as JSON on one line, for a column that trainers leave alone; :func:`example_of_note` reads it."""
        example = self.example
        action = None if example.action is None else action_to_dict(example.action)
        fields = {name: getattr(example, name) for name in ("sample_id", "image", "text", "mask", "current_iou")}
        return json.dumps({**fields, "action": action, "origin": example.origin})


def export_format(text: str) -> ChatFormat:
    """The chat format that ``text`` names: a family or a file, perhaps with options (``qwen3?grid=8``).

    Raises ``SpecError`` for an unknown one, and for ``box=first``, since the annotator's trajectories teach clicks.
    """
    spec = parse_spec(text, ())
    fmt = chosen_format(spec, load_format(spec.target))
    if fmt.first_box:
        raise SpecError(f"chat format {text!r:.200}: trajectories teach no first box; leave box=first out")
    return fmt


def is_whole(example: Example) -> bool:
    """Whether a whole reply is known. Of an episode's last state often only the IoU is: no reply ends there."""
    return example.action is not None and not isinstance(example.action, InvalidAction)


def conversation_of(example: Example, image: Image, fmt: ChatFormat) -> Conversation:
    """The conversation for an example that :func:`is_whole`; ``image`` is its picture.

    Raises ``InputError`` naming the sample if it cannot be shown, ``ValueError`` without a whole reply.
    """
    if example.action is None or isinstance(example.action, InvalidAction):
        raise ValueError(f"example {example.sample_id!r:.200} has no whole reply")
    question = ask(fmt, observation_of(example, image))
    reply = fmt.render(example.action, image.height, image.width, example.current_iou)
    for text in (question.prompt, reply):
        if any(word in text for word in _MEDIA):
            raise InputError(
                f"example {example.sample_id!r:.200}: its prompt or reply holds one of {', '.join(_MEDIA)}, which "
                "trainers take for a picture's place; use another prompt template"
            )
    names = tuple(f"{_digest(picture.key)}.png" for picture in question.pictures)
    return Conversation(example, question.prompt, reply, tuple(picture.pixels for picture in question.pictures), names)


def example_of_note(note: str) -> Example:
    """Inverse of :meth:`Conversation.note`. Raises ``ValueError`` for anything else."""
    try:
        fields: dict[str, Any] = json.loads(note)
        action = fields.pop("action")
        example = Example(**fields, action=None)
        if example.origin not in get_args(Origin):
            raise ValueError(f"unknown origin {example.origin!r:.80}")
        return replace(
            example,
            mask=cast(Rle, dict(example.mask)),
            action=None if action is None else action_from_dict(action),
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not the note of an example ({error})") from error


def _digest(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
