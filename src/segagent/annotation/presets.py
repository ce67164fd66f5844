"""Presets: the paper's rows, each one word for a policy's convention, a tool, a first action and a search.

The files are in ``segagent/presets``; a file of one's own in the same form can be named instead.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segagent.core import InputError, SpecError
from segagent.core.extensions import from_record
from segagent.core.texts import read_text
from segagent.policies import SCHEMES, told_format
from segagent.policies.chat import ChatFormat
from segagent.search import SearchConfig
from segagent.tools import TOOLS

_SECTIONS: Mapping[str, Mapping[str, type]] = {
    "policy": {"format": str, "prompt": str},
    "tool": {"kind": str, "options": dict},
    "first_action": {"box": str},
    "search": {"steps": int, "candidates": int, "use_predicted_iou": bool},
}


@dataclass(frozen=True, slots=True)
class Preset:
    """All of a row but its weights.

    ``policy_options`` and ``tool_options`` go behind the weights in a specification string unless they are given there.
    ``tool``: the kind of tool. ``first_box``: see :func:`segagent.policies.with_first_box`. ``text``: the file, for
    people to read.
    """

    name: str
    title: str
    policy_options: tuple[tuple[str, str], ...]
    tool: str
    tool_options: tuple[tuple[str, str], ...]
    first_box: str
    search: SearchConfig
    text: str

    def policy_spec(self, weights: str) -> str:
        """The policy of a folder, a hub name, or a whole specification such as "openai:MODEL@URL".

        A model that says itself what format it was trained in, by the file beside its weights or by its server, is
        asked in that and not in the preset's.
        """
        spec = _with_options(weights, "hf", SCHEMES, ())
        options = self.policy_options if self.gives_way_to(weights) is None else ()
        return _with_options(spec, "hf", SCHEMES, options)

    def gives_way_to(self, weights: str) -> ChatFormat | None:
        """The format that a policy of these weights brings along and that the preset would set; None if there is none.

        Raises ``InputError`` where it is damaged.
        """
        spec = _with_options(weights, "hf", SCHEMES, ())
        if "format" in _options(spec) or not self.policy_options:
            return None
        return told_format(spec)

    def tool_spec(self, weights: str) -> str:
        """The tool of a folder, a file, a hub name, or a whole specification such as "sam2:DIR"."""
        kind, colon, _ = weights.partition(":")
        another = bool(colon) and kind in TOOLS and kind != self.tool
        return _with_options(weights, self.tool, TOOLS, () if another else self.tool_options)


def preset_names() -> list[str]:
    """The presets that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """The preset of that name, or of a ``.toml`` file.

    Raises ``SpecError`` where there is none of that name, ``InputError`` where a file cannot be used.
    """
    path = Path(name) if name.endswith(".toml") else _folder() / f"{name}.toml"
    if not name.endswith(".toml") and name not in preset_names():
        raise SpecError(f"unknown preset {name!r:.200}; expected a .toml file or one of: {', '.join(preset_names())}")
    try:
        text = read_text(path, "expected a preset")
        data = tomllib.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: the preset cannot be read ({error})") from error
    return _preset(name, data, text)


def _folder() -> Path:
    return Path(str(resources.files("segagent"))) / "presets"


def _preset(name: str, data: dict[str, Any], text: str) -> Preset:
    unknown = sorted(set(data) - {"title", *_SECTIONS})
    if unknown:
        raise InputError(f"{name}: unknown part {unknown[0]!r:.50}; known are title, {', '.join(_SECTIONS)}")
    values: dict[str, dict[str, Any]] = {}
    for section, known in _SECTIONS.items():
        given = data.get(section, {})
        if not isinstance(given, dict):
            raise InputError(f"{name}: [{section}] must be a section")
        for key, value in given.items():
            kind = known.get(key)
            if kind is None:
                raise InputError(f"{name}: [{section}] knows {', '.join(known)}, not {key!r:.50}")
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise InputError(f"{name}: [{section}] {key} = {value!r:.50} is of the wrong type")
        values[section] = given
    tool, search = values["tool"].get("kind"), values["search"]
    if tool not in TOOLS:
        raise InputError(f"{name}: [tool] kind = {tool!r:.50}; expected one of {', '.join(TOOLS)}")
    return Preset(
        name=name,
        title=str(data.get("title", name)),
        policy_options=tuple(values["policy"].items()),
        tool=tool,
        tool_options=tuple((key, str(value)) for key, value in values["tool"].get("options", {}).items()),
        first_box=from_record(values["first_action"].get("box", "none"), name),
        search=SearchConfig(
            max_steps=search.get("steps", 7),
            num_candidates=search.get("candidates", 1),
            use_prm=search.get("use_predicted_iou", True),
        ),
        text=text,
    )


def _with_options(
    weights: str, scheme: str, schemes: Mapping[str, object], options: tuple[tuple[str, str], ...]
) -> str:
    """``scheme:weights?options``; a scheme and options that ``weights`` has already are left as they are."""
    spec = weights if weights.partition(":")[0] in schemes and ":" in weights else f"{scheme}:{weights}"
    given = _options(spec)
    for key, value in options:
        if key not in given:
            spec += f"{'&' if '?' in spec else '?'}{key}={quote(value, safe='/')}"
    return spec


def _options(spec: str) -> set[str]:
    return {part.partition("=")[0] for part in spec.partition("?")[2].split("&")}
