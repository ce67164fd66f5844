"""Preset files: the paper's rows are there, say what they set, and damaged ones are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segagent.annotation.presets import load_preset, preset_names
from segagent.core import InputError, SpecError
from segagent.policies.chat import FORMAT_FILE, FORMATS, format_to_dict
from segagent.search import SearchConfig

ROWS = (
    "box+sam",
    "segagent-llava+sam",
    "segagent-llava+simpleclick",
    "segagent-qwen+sam",
    "segagent-qwen+simpleclick",
)


def test_the_papers_rows_are_there() -> None:
    assert tuple(preset_names()) == ROWS


@pytest.mark.parametrize("name", ROWS)
def test_each_row_sets_what_it_is_named_for(name: str) -> None:
    preset = load_preset(name)
    policy, _, tool = name.partition("+")
    assert preset.tool == tool
    assert preset.text.startswith("# ")
    assert f"--preset {name}" in preset.text
    if policy == "box":
        assert preset.search == SearchConfig(max_steps=1, use_prm=False)
        assert preset.first_box == "own"
        return
    assert preset.search == SearchConfig(max_steps=7, num_candidates=1, use_prm=True)
    assert (
        dict(preset.policy_options)["format"] == {"segagent-llava": "paper", "segagent-qwen": "segagent-qwen"}[policy]
    )
    assert preset.first_box == ("own" if tool == "sam" else "none")


def test_weights_become_specifications() -> None:
    qwen = load_preset("segagent-qwen+simpleclick")
    assert qwen.policy_spec("some/folder") == "hf:some/folder?format=segagent-qwen"
    assert qwen.policy_spec("some/folder?device=cpu") == "hf:some/folder?device=cpu&format=segagent-qwen"
    assert qwen.policy_spec("x?format=qwen2.5") == "hf:x?format=qwen2.5"
    served = "openai:m@http://127.0.0.1:8000/v1"
    assert qwen.policy_spec(served) == f"{served}?format=segagent-qwen"
    assert qwen.tool_spec("a.pth") == "simpleclick:a.pth?side=448&threshold=0.49"
    assert qwen.tool_spec("a.pth?side=672") == "simpleclick:a.pth?side=672&threshold=0.49"
    assert qwen.tool_spec("simpleclick:a.pth") == "simpleclick:a.pth?side=448&threshold=0.49"
    assert qwen.tool_spec("sam2:folder") == "sam2:folder"
    assert load_preset("box+sam").tool_spec("org/name") == "sam:org/name"
    assert load_preset("box+sam").policy_spec("org/name") == "hf:org/name"


def test_a_preset_gives_way_to_the_format_that_weights_were_trained_in(tmp_path: Path) -> None:
    (tmp_path / FORMAT_FILE).write_text(json.dumps(format_to_dict(FORMATS["paper-unit"])), encoding="utf-8")
    qwen = load_preset("segagent-qwen+sam")
    told = qwen.gives_way_to(str(tmp_path))
    assert told is not None
    assert told.name == "paper-unit"
    assert qwen.policy_spec(str(tmp_path)) == f"hf:{tmp_path}"
    assert qwen.policy_spec(f"{tmp_path}?device=cpu") == f"hf:{tmp_path}?device=cpu"
    assert qwen.policy_spec(f"{tmp_path}?format=gpt") == f"hf:{tmp_path}?format=gpt"
    assert load_preset("box+sam").gives_way_to(str(tmp_path)) is None


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        'title = "Mine"\n[policy]\nprompt = "my file.txt"\n[tool]\nkind = "sam2"\n[first_action]\nbox = "hf:g"\n'
        "[search]\nsteps = 11\ncandidates = 3\n"
    )
    mine = load_preset(str(path))
    assert mine.search == SearchConfig(max_steps=11, num_candidates=3)
    assert mine.first_box == "hf:g"
    assert mine.policy_spec("d") == "hf:d?prompt=my%20file.txt"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[tool", "cannot be read"),
        ("[tool]\nkind = 'sam9'", "expected one of embedded"),
        ("[tool]\nkind = 3", "wrong type"),
        ("[tool]\nkind = 'sam'\n[search]\nsteps = true", "wrong type"),
        ("[tool]\nkind = 'sam'\n[search]\nsteps = 0", "at least 1"),
        ("[tool]\nkind = 'sam'\n[search]\nspeed = 3", "knows steps"),
        ("[tool]\nkind = 'sam'\n[colour]\nspeed = 3", "unknown part"),
        ("tool = 'sam'", "must be a section"),
    ],
)
def test_unusable_files(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        load_preset(str(path))


def test_unknown_names() -> None:
    with pytest.raises(SpecError, match=r"expected a \.toml file or one of: box\+sam, segagent"):
        load_preset("segagent-gpt+sam")
    with pytest.raises(SpecError):
        load_preset("../presets/box+sam")
    with pytest.raises(InputError, match="no such file; expected a preset"):
        load_preset("none.toml")
