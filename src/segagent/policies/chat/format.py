"""A chat format: everything that is particular to one model family, in one frozen value.

Only here are a model's own coordinates known; everything else speaks original-image pixels, x right and y down.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from segagent.core import Action, Box, Click, Finish, Image, InvalidAction, Observation, Pixels, Undo
from segagent.imaging import MASK_COLORS, draw_overlay
from segagent.policies.chat import templates
from segagent.policies.chat.aids import draw_grid
from segagent.policies.chat.deciding import IouStyle, parse_reply_in
from segagent.policies.chat.looking_back import Numbered, cut_out, draw_numbers, recalled, thumbnails, words_for
from segagent.policies.chat.resizing import KEEP, Resize, resized
from segagent.policies.chat.space import Size, Space

MaskColor: TypeAlias = Literal["green", "blue", "red"]
"""The colour of the mask's layer; the prompt says it (paper Table 4)."""

Notation: TypeAlias = Literal["text", "json", "point_tag"]
"""How an answer is written: ``Positive point: (x, y)``, a JSON object, or with an XML-like point tag (Molmo)."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a question: ``pixels`` uint8 RGB, and a ``key`` that names its content for caches.

    ``lossless``: whether it must reach the model unchanged, bit for bit.
    """

    pixels: Pixels
    key: str
    lossless: bool = False


@dataclass(frozen=True, slots=True)
class ChatFormat:
    """See the module."""

    name: str
    """For records."""
    space: Space
    """What its coordinates mean."""
    resize: Resize = KEEP
    """What is done to the picture first."""
    notation: Notation = "text"
    """How an answer is written."""
    iou_style: IouStyle = "percent"
    """How an IoU is written."""
    iou_word: str = "Current IoU"
    """What stands before the IoU."""
    template: str = templates.CLICK_TEXT
    """Makes the prompt for a click."""
    box_template: str = templates.BOX_JSON
    """Makes the prompt for a box."""
    quoting: Literal["json", "bare"] = "json"
    """How the sentence is put into prompts."""
    grid: int = 0
    """Cells per side of a drawn grid, 0 for none."""
    first_box: bool = False
    """Ask for a box while the mask is empty."""
    send_clean: bool = False
    """Also send the picture without overlay, first."""
    color: MaskColor = "green"
    """Of the mask's layer, in the picture and in the prompt's words."""
    history: int = 0
    """How many earlier attempts are shown; above 0, a click that was tried before is noticed and asked about."""
    verify: bool = False
    """Ask once more where the model wants to finish."""
    most_pictures: int = 2
    """Pictures in a question: above 1, earlier masks are shown as thumbnails, and what is to be verified cut out."""

    def shown(self, size: Size) -> Size:
        """(height, width) of the picture that the model is shown for an original of ``size``."""
        return self.resize.shown(size)

    def asks_for_box(self, observation: Observation) -> bool:
        """Whether the prompt for ``observation`` is the one for a box."""
        return self.first_box and not observation.mask.any()

    def prompt(self, observation: Observation, note: str = "", *, verifying: bool = False) -> str:
        """The text that goes with the pictures of ``observation``, with a ``note`` where aids are told of."""
        size = observation.image.height, observation.image.width
        shown = self.shown(size)
        boxed = self.asks_for_box(observation)
        template = self.box_template if boxed else self.template
        return templates.fill(
            template if self.color == "green" else template.replace("green", self.color),
            {
                "object": (templates.quote if self.quoting == "json" else templates.quote_bare)(observation.text),
                "coordinates": self.space.describe(shown),
                "example": self._example(boxed, size),
                "width": str(shown[1]),
                "height": str(shown[0]),
                "aids": self._aids_words(observation, verifying) + note,
            },
        )

    def pictures(self, observation: Observation, *, verifying: bool = False) -> tuple[Picture, ...]:
        """What the model is shown for ``observation``: the picture with the mask drawn in, after a clean one if wanted.

        The mask is drawn on the original and then resized with it, so that its outline is as soft as all others. With
        a :attr:`history` a sheet of thumbnails follows, or where the model is ``verifying`` what it has cut out.
        """
        image = observation.image
        size = image.height, image.width
        shown = self.shown(size)
        pixels = visibly_coverable(image.pixels) if self.send_clean else image.pixels
        drawn = resized(draw_overlay(pixels, observation.mask, MASK_COLORS[self.color]), shown)
        # Cheaper than to look at all pixels again, and as telling.
        key = f"{image.key}+{hashlib.blake2b(observation.mask.tobytes(), digest_size=16).hexdigest()}@{shown}"
        key += "" if self.color == "green" else f" {self.color}"
        if self.grid:
            drawn = draw_grid(drawn, self._grid_labels(size, shown))
            key = Image(drawn).key
        if past := self._recalled(observation):
            drawn = draw_numbers(drawn, past, size)
            key = Image(drawn).key
        overlaid = Picture(drawn, key, lossless=self.send_clean)
        if not self.send_clean:
            second = self._second(observation, verifying)
            return (overlaid,) if second is None else (overlaid, Picture(second, Image(second).key))
        return (Picture(resized(pixels, shown), f"{image.key}@{shown}", lossless=True), overlaid)

    def parse(self, reply: str, height: int, width: int, *, boxed: bool = False) -> tuple[Action, float | None]:
        """The action that ``reply`` names, in pixels of the original of ``height`` x ``width``, and the predicted IoU.

        ``boxed``: it answers the prompt for a box, see :meth:`asks_for_box`.

        The action is ``InvalidAction(reply, reason)`` unless the reply names exactly one action inside the image; the
        reason begins with one of :data:`segagent.policies.chat.deciding.INVALID_KINDS`. Raises nothing.
        """
        size = height, width
        return parse_reply_in(reply, self.space, self.iou_style, self.shown(size), size, boxed=boxed)

    def render(self, action: Action, height: int, width: int, predicted_iou: float | None = None) -> str:
        """The reply that says ``action`` in this format; ``parse`` reads it back up to the space's resolution."""
        if isinstance(action, InvalidAction):
            return action.text
        size = height, width
        if self.notation == "json":
            return json.dumps(self._fields(action, size, predicted_iou))
        head = "" if predicted_iou is None else f"{self.iou_word}: {self._iou_number(predicted_iou)}. "
        match action:
            case Click(x, y, positive):
                return f"{head}{'Positive' if positive else 'Negative'} point: {self._point(x, y, size)}"
            case Box():
                return f"{head}Box: ({', '.join(self._corners(action, size))})"
            case Finish():
                return f"{head}Finish"
            case Undo():
                return f"{head}Undo"

    def render_box(self, box: Box, height: int, width: int) -> str:
        """The reply to the question for a first box, as the prompt shows it; ``parse`` reads it back."""
        return json.dumps({"box": [json.loads(text) for text in self._corners(box, (height, width))]})

    def with_changes(
        self,
        *,
        space: Space | None = None,
        resize: Resize | None = None,
        template: str | None = None,
        name: str | None = None,
    ) -> ChatFormat:
        """The same format with some parts replaced."""
        return replace(
            self,
            space=space or self.space,
            resize=resize or self.resize,
            template=template or self.template,
            name=name or self.name,
        )

    def _point(self, x: int, y: int, size: Size) -> str:
        across, down = (self.space.number(v) for v in self.space.pixel_to_point(x, y, self.shown(size), size))
        if self.notation == "point_tag":
            return f'<point x="{across}" y="{down}" alt="click">click</point>'
        first, second = (across, down) if self.space.axes == "xy" else (down, across)
        return f"({first}, {second})"

    def _corners(self, box: Box, size: Size) -> list[str]:
        shown = self.shown(size)
        x0, x1 = (self.space.number(self.space.pixel_to_edge(edge, "x", shown, size)) for edge in (box.x0, box.x1))
        y0, y1 = (self.space.number(self.space.pixel_to_edge(edge, "y", shown, size)) for edge in (box.y0, box.y1))
        return [x0, y0, x1, y1] if (self.space.box_axes or self.space.axes) == "xy" else [y0, x0, y1, x1]

    def _fields(self, action: Action, size: Size, predicted_iou: float | None) -> dict[str, object]:
        fields: dict[str, object] = {} if predicted_iou is None else {"iou": self._iou_value(predicted_iou)}
        match action:
            case Click(x, y, positive):
                pair = self.space.pair(*self.space.pixel_to_point(x, y, self.shown(size), size))
                values = [json.loads(self.space.number(value)) for value in pair]
                return fields | {"action": "positive" if positive else "negative", "point": values}
            case Box():
                return fields | {"action": "box", "box": [json.loads(text) for text in self._corners(action, size)]}
            case Finish():
                return fields | {"action": "finish"}
            case _:
                return fields | {"action": "undo"}

    def _iou_value(self, predicted_iou: float) -> float:
        bounded = min(1.0, max(0.0, predicted_iou))
        return round(bounded, 4) if self.iou_style == "unit" else round(100 * bounded)

    def _iou_number(self, predicted_iou: float) -> str:
        return f"{self._iou_value(predicted_iou):g}" + ("%" if self.iou_style == "either" else "")

    def _example(self, boxed: bool, size: Size) -> str:
        """A reply with a point off the middle, so that both axes can be told apart."""
        height, width = size
        if boxed:
            x0, y0 = width // 4, height // 3
            return self.render_box(Box(x0, y0, max(x0 + 1, width // 2), max(y0 + 1, 2 * height // 3)), height, width)
        return self.render(Click(width // 3, 2 * height // 3, positive=True), height, width, 0.35)

    def reply_schema(self, observation: Observation) -> dict[str, object] | None:
        """The JSON schema of a reply for ``observation``, for servers that hold a model to one; None without JSON."""
        if self.notation != "json":
            return None
        far = [self.space.scale] * 2 if self.space.scale is not None else list(self._shown_width_height(observation))
        number = {"type": "integer" if self.space.decimals == 0 else "number", "minimum": 0, "maximum": max(far)}

        def numbers(count: int) -> dict[str, object]:
            return {"type": "array", "items": number, "minItems": count, "maxItems": count}

        if self.asks_for_box(observation):
            fields: dict[str, object] = {"box": numbers(4)}
        else:
            fields = {
                "iou": {"type": "number", "minimum": 0, "maximum": 1 if self.iou_style == "unit" else 100},
                "action": {"type": "string", "enum": ["positive", "negative", "finish"]},
                "point": {"anyOf": [numbers(2), {"type": "null"}]},
            }
        return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}

    def takes_notes(self, observation: Observation) -> bool:
        """Whether the prompt for ``observation`` has a place where more can be said."""
        template = self.box_template if self.asks_for_box(observation) else self.template
        return "aids" in templates.placeholders(template)

    def verifying_words(self, observation: Observation) -> str:
        """The note in the question that a model is asked where it wants to finish."""
        if observation.mask.any():
            return templates.VERIFY
        act = "give its box" if self.asks_for_box(observation) else "place a positive click on it"
        return templates.VERIFY_EMPTY.format(act=act)

    def repeated_words(self, click: Click, number: int, observation: Observation) -> str:
        """The note in the question that a model is asked where its ``click`` is its earlier action ``number`` again."""
        sign = "positive" if click.positive else "negative"
        point = self._written(click, (observation.image.height, observation.image.width))
        return templates.REPEATED.format(sign=sign, point=point, number=number)

    def _written(self, place: Click | Box, size: Size) -> str:
        if isinstance(place, Box):
            return f"[{', '.join(self._corners(place, size))}]"
        if self.notation == "point_tag":
            return self._point(place.x, place.y, size)
        pair = self.space.pair(*self.space.pixel_to_point(place.x, place.y, self.shown(size), size))
        return f"[{', '.join(self.space.number(value) for value in pair)}]"

    def _recalled(self, observation: Observation) -> list[Numbered]:
        return recalled(observation.past, self.history) if self.history else []

    def _second(self, observation: Observation, verifying: bool) -> Pixels | None:
        """The second picture: what is to be verified, or the sheet of earlier masks; None where there is none."""
        if self.most_pictures < 2:
            return None
        pixels = observation.image.pixels
        if verifying:
            return cut_out(pixels, observation.mask)
        return thumbnails(pixels, self._recalled(observation), MASK_COLORS[self.color])

    def _aids_words(self, observation: Observation, verifying: bool) -> str:
        words = " Grid lines in the picture are labelled with their coordinates." if self.grid else ""
        past = self._recalled(observation)
        if past:
            size = observation.image.height, observation.image.width
            told = words_for(
                past,
                observation.mask,
                lambda place: self._written(place, size),
                lambda iou: f"{self._iou_value(iou):.2g}" if self.iou_style == "unit" else self._iou_number(iou),
            )
            words += templates.HISTORY.format(told=told)
        second = self.most_pictures > 1 and not self.send_clean
        if second and verifying and observation.mask.any():
            return words + templates.CUT_OUT
        if second and not verifying and any(one.mask.any() for _, one in past):
            return words + templates.THUMBNAILS
        return words

    def _shown_width_height(self, observation: Observation) -> tuple[int, int]:
        height, width = self.shown((observation.image.height, observation.image.width))
        return width, height

    def _grid_labels(self, size: Size, shown: Size) -> list[tuple[str, str]]:
        labels = []
        for index in range(self.grid + 1):
            across = self.space.pixel_to_edge(round(index * size[1] / self.grid), "x", shown, size)
            down = self.space.pixel_to_edge(round(index * size[0] / self.grid), "y", shown, size)
            labels.append((self.space.number(across), self.space.number(down)))
        return labels


def visibly_coverable(pixels: Pixels) -> Pixels:
    """``pixels`` such that a green layer shows on each: pure green ones, (0, 254 or 255, 0), are made (0, 253, 0).

    So a mask can be told from two pictures, one without and one with it, at every pixel.
    """
    green = (pixels[..., 1] >= 254) & (pixels[..., 0] == 0) & (pixels[..., 2] == 0)
    if not green.any():
        return pixels
    result = np.array(pixels)
    result[green] = (0, 253, 0)
    return result
