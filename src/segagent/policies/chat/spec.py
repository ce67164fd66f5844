"""Specification strings with options: ``hf:DIR?format=qwen3&grid=8``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast, get_args
from urllib.parse import parse_qsl

from segagent.core import SpecError
from segagent.policies.chat.files import load_format
from segagent.policies.chat.format import ChatFormat, MaskColor
from segagent.policies.chat.resizing import Fixed
from segagent.policies.chat.templates import CLICK_JSON, CLICK_TEXT, load_template, placeholders

FORMAT_OPTIONS = ("format", "prompt", "grid", "box", "square", "color", "history", "verify", "pictures")
ZERO_SHOT_OPTIONS = ("history", "verify", "structured")
"""For models that were never taught to click."""


@dataclass(frozen=True, slots=True)
class ChatSpec:
    """``target`` is what stands between the scheme and the question mark; ``options`` are the settings behind it."""

    target: str
    options: Mapping[str, str]

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """A numeric option. Raises ``SpecError`` if it is no number within ``low`` .. ``high``."""
        try:
            value = float(self.options.get(name, default))
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise SpecError(f"option {name}={self.options[name]!r:.50}: expected a number from {low:g} to {high:g}")
        return value


def parse_spec(text: str, known: tuple[str, ...]) -> ChatSpec:
    """Target and options of the part of a specification behind "scheme:". Raises ``SpecError`` for unknown options."""
    target, _, query = text.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    allowed = (*FORMAT_OPTIONS, *known)
    for name in options:
        if name not in allowed:
            raise SpecError(f"unknown option {name!r:.50}; expected one of: {', '.join(allowed)}")
    return ChatSpec(target, options)


def refuse_when_tuned(spec: ChatSpec, tuned: ChatFormat | None) -> None:
    """Raise ``SpecError`` where ``spec`` asks a model that says it was ``tuned`` for what is for zero-shot ones."""
    asked = [name for name in ZERO_SHOT_OPTIONS if spec.options.get(name, "0") not in ("0", "")]
    if tuned is not None and asked:
        raise SpecError(
            f"option {asked[0]} is for models that were never taught to click; this one says that it was tuned in "
            f"format {tuned.name!r:.50}, and would be asked what it does not know: leave the option out"
        )


def chosen_format(spec: ChatSpec, default: ChatFormat) -> ChatFormat:
    """The format that the options ask for, ``default`` where they name none.

    ``format``: a family or a file; ``prompt``: ``tuned`` (text reply, as the paper), ``zero-shot`` (JSON reply), or a
    template file; ``grid``: cells per side; ``box=first``: begin with a box; ``square``: squeeze pictures to a square
    of so many pixels a side, for models whose processor would cut out the middle; ``color`` of the mask's layer.
    ``history``: so many earlier attempts are shown; ``verify=1``: a finish is asked about once more; ``pictures``: the
    most pictures in a question. These three are for zero-shot prompts only.
    """
    options = spec.options
    fmt = load_format(options["format"]) if "format" in options else default
    if "prompt" in options:
        if options["prompt"] == "tuned":
            fmt = replace(fmt, notation="text", iou_style="percent", template=CLICK_TEXT)
        elif options["prompt"] == "zero-shot":
            fmt = replace(fmt, notation="json", iou_style="unit", template=CLICK_JSON)
        else:
            fmt = replace(fmt, template=load_template(options["prompt"]))
    if "grid" in options:
        fmt = replace(fmt, grid=round(spec.number("grid", 0, 0, 26)))
    if "square" in options:
        if fmt.space.scale is None:
            raise SpecError(f"option square does not go with format {fmt.name!r:.50}, whose numbers are pixels")
        side = round(spec.number("square", 0, 1, 8192))
        fmt = replace(fmt, resize=Fixed(side, side))
    if "color" in options:
        colors = get_args(MaskColor)
        if options["color"] not in colors or fmt.send_clean:
            raise SpecError(
                f"option color={options['color']!r:.50}: expected one of {', '.join(colors)}, "
                "and a format that sends one picture"
            )
        fmt = replace(fmt, color=cast(MaskColor, options["color"]))
    asked = [name for name in ZERO_SHOT_OPTIONS if options.get(name, "0") not in ("0", "")]
    if asked and (fmt.notation == "text" or "aids" not in placeholders(fmt.template)):
        raise SpecError(
            f"option {asked[0]} is for models that were never taught to click; format {fmt.name!r:.50} with this "
            "prompt is for tuned ones: leave it out, or ask with ?prompt=zero-shot or a template that says {{aids}}"
        )
    fmt = replace(
        fmt,
        history=round(spec.number("history", fmt.history, 0, 100)),
        verify=spec.number("verify", fmt.verify, 0, 1) == 1,
        most_pictures=round(spec.number("pictures", fmt.most_pictures, 1, 2)),
    )
    if options.get("box", "none") not in ("first", "none"):
        raise SpecError(f"option box={options['box']!r:.50}: expected 'first' or 'none'")
    return replace(fmt, first_box=options.get("box") == "first")
