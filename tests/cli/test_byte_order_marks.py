"""Files that people hand in beside data sets: a program on Windows may have put a byte order mark before them."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from segagent.annotation.interop.entries import read_json
from segagent.annotation.presets import load_preset
from segagent.core import InputError
from segagent.evaluation.calibration import Calibration, calibration_content, read_calibration
from segagent.learning.sft import load_recipe
from segagent.policies.chat import FORMATS, format_to_dict, load_format
from segagent.policies.chat.templates import load_template

PRESET = (files("segagent") / "presets" / "box+sam.toml").read_text(encoding="utf-8")
RECIPE = (files("segagent.learning.sft") / "recipes" / "embedded.toml").read_text(encoding="utf-8")
FORMAT = next(iter(FORMATS))
HANDED_IN: dict[str, tuple[str, Callable[[Path], Any], Callable[[Any], bool]]] = {
    "corrections.json": ('[{"a": "é"}]', read_json, lambda value: value == [{"a": "é"}]),
    "preset.toml": (PRESET, lambda path: load_preset(str(path)), lambda value: value.tool == "sam"),
    "recipe.toml": (RECIPE, lambda path: load_recipe(str(path)), lambda value: value.batch_size > 0),
    "format.json": (
        json.dumps(format_to_dict(FORMATS[FORMAT])),
        lambda path: load_format(str(path)),
        lambda value: value == FORMATS[FORMAT],
    ),
    "template.txt": ("Find\n{{object}}\n", load_template, lambda value: value == "Find\n{{object}}\n"),
    "calibration.json": (
        calibration_content(Calibration((0.0,), (0.5,)), None, {}),
        read_calibration,
        lambda value: value[0] == Calibration((0.0,), (0.5,)),
    ),
}


@pytest.mark.parametrize("name", HANDED_IN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_read_with_and_without(tmp_path: Path, name: str, encoding: str) -> None:
    text, read, right = HANDED_IN[name]
    (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert right(read(tmp_path / name))


@pytest.mark.parametrize("name", HANDED_IN)
def test_eight_bit_letters_are_told(tmp_path: Path, name: str) -> None:
    text, read, _ = HANDED_IN[name]
    (tmp_path / name).write_bytes(b"\n" + text.encode("latin-1", "replace") + b"caf\xe9")
    with pytest.raises(InputError, match=f"{name}.*, line .*byte 0xE9 behind .*save it as UTF-8"):
        read(tmp_path / name)
