"""Preset files: the paper's rows are there, say what they set, and damaged ones are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from segagent.annotation.presets import load_preset, preset_names
from segagent.cli.main import main
from segagent.cli.models import ModelOptions
from segagent.core import InputError, SpecError
from segagent.core.hub import is_pinned
from segagent.policies.chat import FORMAT_FILE, FORMATS, format_to_dict
from segagent.search import SearchConfig

PAPER = (
    "box+sam",
    "segagent-llava+sam",
    "segagent-llava+simpleclick",
    "segagent-qwen+sam",
    "segagent-qwen+simpleclick",
)


ONE_WORD = (
    "egm-4b+sam2",
    "qwen3-vl-4b+sam2",
    "qwen3-vl-8b+sam2",
    "sam3-agent",
    "visionreasoner-7b+sam2",
)


def test_all_are_there() -> None:
    assert preset_names() == sorted(PAPER + ONE_WORD)


@pytest.mark.parametrize("name", PAPER)
def test_each_row_sets_what_it_is_named_for(name: str) -> None:
    preset = load_preset(name)
    policy, _, tool = name.partition("+")
    assert preset.tool == tool
    assert preset.text.startswith("# ")
    assert f"--preset {name}" in preset.text
    assert "history" not in dict(preset.policy_options), "tuned models are asked as they were tuned"
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


def test_the_list_says_which_weights_are_not_pinned_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["presets"]) == 0
    told: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines()[1:]:
        if not line.startswith(" "):
            told[line.split()[0]] = []
        elif line.strip().startswith("not pinned: "):
            told[list(told)[-1]].append(line.strip())
    assert set(told) == set(preset_names())
    for name, lines in told.items():
        preset = load_preset(name)
        loose = [own.hub for own in (preset.policy_weights, preset.tool_weights) if own and not is_pinned(own.revision)]
        assert [line.split()[2].removesuffix(":") for line in lines] == loose
    assert "--pin writes it down" in told["egm-4b+sam2"][0]
    assert "ModelScope names no commits" in told["segagent-qwen+sam"][0]


@pytest.mark.parametrize("name", ONE_WORD)
def test_one_word_is_all_that_is_needed(name: str) -> None:
    preset = load_preset(name)
    policy, tool = preset.policy_weights, preset.tool_weights
    assert policy is not None
    assert tool is not None
    options = dict(preset.policy_options)
    assert preset.policy_spec().startswith(f"hf:{policy.hub}?revision={policy.revision}&dtype=bfloat16&batch=")
    assert preset.tool_spec() == f"{preset.tool}:{tool.hub}?revision={tool.revision}"
    assert f"format={options['format']}" in preset.policy_spec()
    assert is_pinned(tool.revision)
    assert is_pinned(policy.revision) or f"segagent presets {name} --pin" in preset.text
    assert policy.gigabytes + tool.gigabytes < preset.gigabytes
    assert f"--preset {name}@server" in preset.text
    assert f"vllm serve {policy.hub}" in preset.text
    if "history" in options:
        assert {"history": "4", "verify": "1"}.items() <= options.items()
        assert preset.search.stop_iou > 1
    else:
        assert preset.search == SearchConfig(max_steps=1, use_prm=False)


def test_a_presets_budget_goes_with_its_own_steps() -> None:
    name = "qwen3-vl-4b+sam2"
    assert ModelOptions(preset=name).choose().search.max_policy_calls == 10
    assert ModelOptions(preset=name, steps=20).choose().search.max_policy_calls is None
    assert ModelOptions(preset=name, candidates=4).choose().search.max_policy_calls is None
    assert ModelOptions(preset=name, steps=20, max_calls=5).choose().search.max_policy_calls == 5


def test_a_preset_behind_a_server() -> None:
    served = load_preset("qwen3-vl-8b+sam2@https://gpu.example:8443/v1")
    spec = "openai:Qwen/Qwen3-VL-8B-Instruct@https://gpu.example:8443/v1"
    assert served._policy(None) == spec
    assert served._policy("mine?timeout=5") == "openai:mine@https://gpu.example:8443/v1?timeout=5"
    assert served._policy("hf:folder") == "hf:folder"
    assert load_preset("sam3-agent@server").server == "http://127.0.0.1:8000/v1"
    options = dict(load_preset("sam3-agent@server").served_options)
    assert options == {"structured": "schema"}
    for odd in ("sam3-agent@", "sam3-agent@ftp://x", "@server", "none@server"):
        with pytest.raises(SpecError):
            load_preset(odd)


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
        ("[tool]\nkind = 'sam'\n[policy]\nverify = 1", "wrong type"),
        ("[tool]\nkind = 'sam'\n[tool_weights]\nhub = 'a/b'", "lacks revision, licence, gigabytes"),
    ],
)
def test_unusable_files(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        load_preset(str(path))


def test_unknown_names() -> None:
    with pytest.raises(SpecError, match=r"expected a \.toml file or one of: box\+sam, egm-4b"):
        load_preset("segagent-gpt+sam")
    with pytest.raises(SpecError):
        load_preset("../presets/box+sam")
    with pytest.raises(InputError, match="no such file; expected a preset"):
        load_preset("none.toml")
