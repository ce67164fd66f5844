"""Presets: one word for a policy's weights and convention, a tool, a first action and a search.

The files are in ``segagent/presets``; a file of one's own in the same form can be named instead. ``NAME@URL`` is a
preset whose policy a server runs, under its name on the hub; ``NAME@vllm`` one that vLLM runs in this process.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

from segagent.core import InputError, SpecError, WeightsError
from segagent.core.extensions import from_record
from segagent.core.hub import MODELSCOPE, here, is_pinned, look_up
from segagent.core.texts import read_text
from segagent.policies import SCHEMES, told_format
from segagent.policies.chat import ChatFormat
from segagent.search import SearchConfig
from segagent.tools import TOOLS

_SECTIONS: Mapping[str, Mapping[str, type]] = {
    "policy": {"format": str, "prompt": str, "history": int, "verify": bool, "pictures": int, "max_tokens": int},
    "local": {"dtype": str, "batch": int, "attn": str, "device_map": str, "bits": int, "compile": bool},
    "served": {"structured": str},
    "policy_weights": {"hub": str, "revision": str, "licence": str, "gigabytes": float},
    "tool": {"kind": str, "options": dict},
    "tool_weights": {"hub": str, "revision": str, "licence": str, "gigabytes": float},
    "needs": {"gigabytes": float},
    "first_action": {"box": str},
    "search": {
        "steps": int,
        "candidates": int,
        "use_predicted_iou": bool,
        "stop_iou": float,
        "patience": int,
        "max_policy_calls": int,
    },
}
_SERVED = re.compile(r"(.+)@(server|vllm|https?://.+)", re.DOTALL)
_PORT = "http://127.0.0.1:8000/v1"
"""Where ``vllm serve`` listens unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A model on the hub, see :mod:`segagent.core.hub`. ``revision``: a commit, or "main" where none is known.

    ``gigabytes``: to be fetched, 1e9 bytes each.
    """

    hub: str
    revision: str
    licence: str
    gigabytes: float

    def words(self) -> str:
        """In a few words: whose they are, what is to be fetched, whether they are here."""
        present = here(self.hub, self.revision) is not None
        return f"{self.hub} ({self.licence}, {'here' if present else f'{self.gigabytes:.1f} GB to fetch'})"

    def why_not_pinned(self) -> str:
        """Why these weights may be others tomorrow, and what can be done; empty where a commit is named."""
        if is_pinned(self.revision):
            return ""
        if self.hub.startswith(MODELSCOPE):
            return f"{self.hub}: ModelScope names no commits; its {self.revision!r} is taken, keep the folder"
        return f"{self.hub}: no commit of it is known here; the hub's {self.revision!r} is taken, --pin writes it down"


@dataclass(frozen=True, slots=True)
class Preset:
    """What a word stands for.

    ``policy_options`` and ``tool_options`` go behind the weights in a specification string unless they are given there;
    ``local_options`` behind the preset's own weights where they run here, ``served_options`` where a server runs the
    policy. ``tool``: the kind of tool.
    ``policy_weights`` and ``tool_weights``: None where the user has to say which. ``server``: the URL that runs the
    policy; empty: it runs here, by ``scheme``. ``gigabytes``: of memory that both models need, 0 where that is not
    known. ``first_box``: see :func:`segagent.policies.with_first_box`. ``text``: the file, for people to read.
    """

    name: str
    title: str
    policy_options: tuple[tuple[str, str], ...]
    tool: str
    tool_options: tuple[tuple[str, str], ...]
    first_box: str
    search: SearchConfig
    text: str
    local_options: tuple[tuple[str, str], ...] = ()
    served_options: tuple[tuple[str, str], ...] = ()
    policy_weights: Weights | None = None
    tool_weights: Weights | None = None
    server: str = ""
    scheme: str = "hf"
    gigabytes: float = 0.0

    def policy_spec(self, weights: str | None = None) -> str:
        """The policy of a folder, a hub name, or a whole specification such as "openai:MODEL@URL"; None: the preset's.

        A model that says itself what format it was trained in, by the file beside its weights or by its server, is
        asked in that and not in the preset's. Raises ``InputError`` where the preset has no weights.
        """
        spec = self._policy(weights)
        if self.gives_way_to(weights) is not None:
            return spec
        served = self.served_options if spec.startswith(("openai:", "vllm:")) else ()
        return _with_options(spec, self.scheme, SCHEMES, (*self.policy_options, *served))

    def _policy(self, weights: str | None) -> str:
        """The policy's specification before any option of the preset's."""
        own = self.policy_weights
        if weights is None and own is None:
            raise InputError(f"the preset {self.name!r:.100} has no weights of its own; give --policy-weights")
        if self.server and (weights is None or not weights.startswith(tuple(f"{one}:" for one in SCHEMES))):
            model = weights if weights is not None else own.hub if own is not None else ""
            name, mark, options = model.partition("?")
            return f"openai:{name}@{self.server}{mark}{options}"
        if weights is None:
            assert own is not None
            # vLLM sees to batches, devices and kernels itself.
            local = [(key, value) for key, value in self.local_options if self.scheme == "hf" or key == "dtype"]
            return _with_options(own.hub, self.scheme, SCHEMES, (("revision", own.revision), *local))
        return _with_options(weights, self.scheme, SCHEMES, ())

    def gives_way_to(self, weights: str | None = None) -> ChatFormat | None:
        """The format that a policy of these weights brings along and that the preset would set; None if there is none.

        Raises ``InputError`` where it is damaged.
        """
        spec = self._policy(weights)
        if "format" in _options(spec) or not self.policy_options:
            return None
        return told_format(spec)

    def tool_spec(self, weights: str | None = None) -> str:
        """The tool of a folder, a file, a hub name, or a whole specification such as "sam2:DIR"; None: the preset's.

        Raises ``InputError`` where the preset has no weights.
        """
        if weights is None:
            own = self.tool_weights
            if own is None:
                raise InputError(f"the preset {self.name!r:.100} has no weights of its own; give --tool-weights")
            return _with_options(own.hub, self.tool, TOOLS, (("revision", own.revision), *self.tool_options))
        kind, colon, _ = weights.partition(":")
        another = bool(colon) and kind in TOOLS and kind != self.tool
        return _with_options(weights, self.tool, TOOLS, () if another else self.tool_options)


def preset_names() -> list[str]:
    """The presets that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def load_preset(name: str) -> Preset:
    """The preset of that name, or of a ``.toml`` file; ``NAME@URL`` is the same with its policy behind a server,
    ``NAME@server`` behind one that runs where ``vllm serve`` does, and ``NAME@vllm`` run by vLLM here.

    Raises ``SpecError`` where there is none of that name, ``InputError`` where a file cannot be used.
    """
    if (found := _SERVED.fullmatch(name)) and found[2] == "vllm":
        return replace(load_preset(found[1]), name=name, scheme="vllm")
    if found:
        return replace(load_preset(found[1]), name=name, server=_PORT if found[2] == "server" else found[2])
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
            given_kinds = (int, float) if kind is float else kind
            if not isinstance(value, given_kinds) or (kind is not bool and isinstance(value, bool)):
                raise InputError(f"{name}: [{section}] {key} = {value!r:.50} is of the wrong type")
        values[section] = given
    tool, search, usual = values["tool"].get("kind"), values["search"], SearchConfig()
    if tool not in TOOLS:
        raise InputError(f"{name}: [tool] kind = {tool!r:.50}; expected one of {', '.join(TOOLS)}")
    return Preset(
        name=name,
        title=str(data.get("title", name)),
        policy_options=_written(values["policy"]),
        tool=tool,
        tool_options=_written(values["tool"].get("options", {})),
        first_box=from_record(values["first_action"].get("box", "none"), name),
        search=SearchConfig(
            max_steps=search.get("steps", 7),
            num_candidates=search.get("candidates", 1),
            use_prm=search.get("use_predicted_iou", True),
            stop_iou=float(search.get("stop_iou", usual.stop_iou)),
            patience=search.get("patience", usual.patience),
            max_policy_calls=search.get("max_policy_calls"),
        ),
        text=text,
        local_options=_written(values["local"]),
        served_options=_written(values["served"]),
        policy_weights=_weights(values["policy_weights"], f"{name}: [policy_weights]"),
        tool_weights=_weights(values["tool_weights"], f"{name}: [tool_weights]"),
        gigabytes=float(values["needs"].get("gigabytes", 0)),
    )


def pinned(preset: Preset) -> str:
    """The preset's file with the commits that the hub names now in place of branches; commits stay as they are.

    Raises ``WeightsError`` where the hub does not answer.
    """
    lines = []
    section = ""
    for written in preset.text.splitlines():
        line = written
        if header := re.fullmatch(r"\s*\[(\w+)\]\s*", line):
            section = header[1]
        own = {"policy_weights": preset.policy_weights, "tool_weights": preset.tool_weights}.get(section)
        if own is not None and re.match(r"\s*revision\s*=", line):
            if own.hub.startswith(MODELSCOPE):
                raise WeightsError(f"{own.hub}: ModelScope names no commits; pin the folder by keeping it")
            line = f'revision = "{look_up(own.hub, own.revision).revision}"'
        lines.append(line)
    return "\n".join(lines) + "\n"


def _written(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Options as a specification string has them."""
    return tuple((key, str(int(value)) if isinstance(value, bool) else str(value)) for key, value in values.items())


def _weights(values: Mapping[str, Any], where: str) -> Weights | None:
    if not values:
        return None
    lacking = [key for key in ("hub", "revision", "licence", "gigabytes") if key not in values]
    if lacking:
        raise InputError(f"{where} lacks {', '.join(lacking)}")
    return Weights(values["hub"], values["revision"], values["licence"], float(values["gigabytes"]))


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
