"""A project's labelling configuration: which pictures there are, and which masks of which labels are wanted.

A label's words are what its attribute ``segagent`` says, else its value. ``$name`` in them stands for what a task's
data holds under that name: a sentence, or a list of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from xml.etree import ElementTree

from segagent.annotation.single import checked_text
from segagent.core import InputError

MAX_LENGTH = 1 << 20
WORDS = "segagent"
"""The attribute of a label that says what to look for."""

Kind = Literal["brushlabels", "polygonlabels"]
_KINDS: dict[str, Kind] = {"brushlabels": "brushlabels", "polygonlabels": "polygonlabels"}
_VARIABLE = re.compile(r"\$([A-Za-z_]\w*)")
_WANTED = (
    'expected an Image and BrushLabels or PolygonLabels with labels, for example <Image name="image" value="$image"/>'
    '<BrushLabels name="mask" toName="image"><Label value="mug" segagent="the striped mug"/></BrushLabels>'
)


@dataclass(frozen=True, slots=True)
class Label:
    """A label's value, and the words that say what to look for; they may hold ``$name``."""

    value: str
    words: str

    def sentences(self, data: Mapping[str, Any]) -> list[str]:
        """What to look for in a task with these ``data``; nothing where they leave it empty. Raises ``InputError``."""
        if (alone := _VARIABLE.fullmatch(self.words.strip())) is not None:
            told = _told(alone[1], data)
            listed = told if isinstance(told, list) else [told]
            if not all(isinstance(one, str) for one in listed):
                raise InputError(
                    f"data {alone[1]!r:.80}: expected a sentence or a list of them, for {self.value!r:.80}"
                )
            return [checked_text(one) for one in listed if one.strip()]
        filled = _VARIABLE.sub(lambda found: _word(found[1], data), self.words)
        return [checked_text(filled)]


@dataclass(frozen=True, slots=True)
class Control:
    """A tag that masks are drawn with. ``picture``: the name of the tag of the picture that they are drawn on."""

    name: str
    kind: Kind
    picture: str
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Labelling:
    """``pictures``: the picture tags, by name the key of a task's data. ``controls``: at least one."""

    pictures: dict[str, str]
    controls: tuple[Control, ...]

    def address(self, control: Control, data: Mapping[str, Any]) -> str:
        """Where the picture is that ``control`` draws on. Raises ``InputError`` where a task does not tell."""
        key = self.pictures[control.picture]
        found = data.get(key)
        if not isinstance(found, str) or not found:
            raise InputError(f"the task's data have no picture under {key!r:.80}; expected an address")
        return found

    def where(self, value: str | None, picture: str | None) -> tuple[Control, Label]:
        """Where a mask of the label ``value`` on ``picture`` belongs; the first place there is, where none says so."""
        fitting = [one for one in self.controls if picture is None or one.picture == picture] or list(self.controls)
        for control in fitting:
            for label in control.labels:
                if label.value == value:
                    return control, label
        return fitting[0], fitting[0].labels[0]


def read_labelling(config: Any) -> Labelling:
    """What a configuration, XML of other people's, asks for. Raises ``InputError`` where that is no mask."""
    if not isinstance(config, str) or len(config) > MAX_LENGTH:
        raise InputError(f"the labelling configuration must be text of at most {MAX_LENGTH} letters")
    if re.search(r"<!(DOCTYPE|ENTITY)", config, re.IGNORECASE):
        raise InputError("the labelling configuration has a document type or entities, which are refused")
    try:
        tree = ElementTree.fromstring(config)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"the labelling configuration is not valid XML ({error!s:.200})") from error
    pictures: dict[str, str] = {}
    for node in tree.iter():
        key = _VARIABLE.fullmatch(node.get("value", "").strip())
        if _tag(node) == "image" and node.get("name") and key is not None:
            pictures[node.get("name", "")] = key[1]
    controls = []
    for node in tree.iter():
        kind, name, picture = _KINDS.get(_tag(node)), node.get("name"), node.get("toName")
        labels = tuple(
            Label(value, one.get(WORDS) or value)
            for one in node.iter()
            if _tag(one) == "label" and (value := one.get("value", "").strip())
        )
        if kind is not None and name and picture in pictures and labels:
            controls.append(Control(name, kind, picture, labels))
    if not controls:
        raise InputError(f"the labelling configuration asks for no masks: {_WANTED}")
    return Labelling(pictures, tuple(controls))


def _tag(node: ElementTree.Element) -> str:
    return node.tag.lower() if isinstance(node.tag, str) else ""


def _told(name: str, data: Mapping[str, Any]) -> Any:
    if name not in data:
        raise InputError(f"the task's data have nothing under {name!r:.80}, which a label's words name")
    return data[name]


def _word(name: str, data: Mapping[str, Any]) -> str:
    told = _told(name, data)
    if not isinstance(told, str | int):
        raise InputError(f"data {name!r:.80}: expected words within {WORDS!r}, got {type(told).__name__}")
    return str(told)
