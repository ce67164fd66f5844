"""``vllm:`` against a stand-in for its engine, and where the real one is installed against that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("transformers")
sys.path.append(str(Path(__file__).parents[1] / "hf"))

import transformers
from tiny_checkpoints import make_qwen25, make_qwen_vl
from vllm_stand_in import LLM, stand_in

from segagent.annotation.presets import load_preset
from segagent.cli.running import RunOptions
from segagent.conformance.policies import PolicyConformance, observation
from segagent.core import (
    InputError,
    MissingExtraError,
    RefusedError,
    SegAgentError,
    SpecError,
    WeightsError,
    total_usage,
)
from segagent.policies import make_policy, told_format
from segagent.policies.chat import FORMAT_FILE, FORMATS, ChatPolicy, format_to_dict
from segagent.policies.vllm import EngineModel

LOOKS = [observation(40 + 30 * n, 90 - 10 * n, text, seed=n) for n, text in enumerate(("the mug", "a <b> trap", "x"))]
LONG = observation(40, 40, "word " * 400)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return make_qwen25(tmp_path_factory.mktemp("qwen25"), head=32)


def made(spec: str) -> tuple[ChatPolicy, LLM]:
    policy = make_policy(spec)
    assert isinstance(policy, ChatPolicy)
    assert isinstance(policy.model, EngineModel)
    return policy, policy.model.engine


def test_replies_are_those_of_the_same_checkpoint_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    policy, engine = made(f"vllm:{folder}?max_tokens=6&keep_tokens=1")
    plain = make_policy(f"hf:{folder}?max_tokens=6&keep_tokens=1")
    assert isinstance(plain, ChatPolicy)
    assert (policy.format, policy.name) == (plain.format, f"vllm:{folder}?max_tokens=6&keep_tokens=1")
    rows = policy.propose(LOOKS, 3, temperature=1.0, seeds=[1, 2, 3])
    for row, right in zip(rows, plain.propose(LOOKS), strict=True):
        assert len({one.text for one in row}) == 3
        assert (row[0].text, row[0].action) == (right[0].text, right[0].action)
        assert row[0].log_prob == pytest.approx(right[0].log_prob, abs=1e-4)
        assert row[0].tokens is not None
        assert right[0].tokens is not None
        assert row[0].tokens.ids == right[0].tokens.ids
    # Each prompt twice, one behind the other: the engine reads it once.
    (asked,) = engine.asked
    assert [params.n for _, params in asked] == [1, 2] * 3
    assert [prompt for prompt, _ in asked[::2]] == [prompt for prompt, _ in asked[1::2]]
    assert engine.settings["enable_prefix_caching"]
    assert len({params.seed for _, params in asked[1::2]}) == 3


def test_usage_counts_each_prompt_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    policy, engine = made(f"vllm:{folder}?max_tokens=4")
    rows = policy.propose([LOOKS[0], LOOKS[1], LOOKS[0]], 2, temperature=1.0, seeds=[1, 2, 1])
    spent = policy.usage
    assert (spent.calls, spent.replies, spent.cached) == (2, 4, 2)
    prompts = [len(engine._inputs(prompt)["input_ids"][0]) for prompt, _ in engine.asked[0][::2]]
    assert spent.prompt_tokens == sum(prompts)
    assert 4 <= spent.completion_tokens <= 16
    total = total_usage([one.usage for row in rows for one in row])
    assert total is not None
    assert total.seconds == pytest.approx(spent.seconds)
    assert (total.calls, total.cached, total.completion_tokens) == (2, 2, spent.completion_tokens)


def test_conforms(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    policy, _ = made(f"vllm:{folder}?max_tokens=3")
    suite = PolicyConformance()
    suite.test_no_observations_give_no_proposals(lambda: policy)
    suite.test_greedy_is_deterministic_and_the_first_of_several(lambda: policy)
    suite.test_the_observation_is_left_as_it_was(lambda: policy)


def test_a_refused_question_loses_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    policy, engine = made(f"vllm:{folder}?max_tokens=3&context=1200")
    assert engine.settings["max_model_len"] == 1200
    with pytest.raises(RefusedError, match=r"vLLM does not take the question.*maximum context length"):
        policy.propose([LOOKS[0], LONG, *LOOKS[1:]], seeds=[1, 2, 3, 4])
    calls = len(engine.asked)
    assert calls <= 6
    assert len(policy.propose(LOOKS, seeds=[1, 3, 4])) == 3
    assert len(engine.asked) == calls
    with pytest.raises(RefusedError):
        policy.propose([LONG], seeds=[2])


def test_a_dead_engine_ends_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    policy, engine = made(f"vllm:{folder}?max_tokens=3")
    engine.dead = True
    with pytest.raises(SegAgentError, match=r"engine has failed.*EngineCore") as caught:
        policy.propose(LOOKS[:1])
    assert not isinstance(caught.value, RefusedError)


@pytest.mark.parametrize("word", ["schema", "guided"])
def test_replies_are_held_to_their_schema(word: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    policy, engine = made(f"vllm:{folder}?max_tokens=3&structured={word}")
    policy.propose(LOOKS[:1], 2, temperature=1.0, seeds=[1])
    right = policy.format.reply_schema(LOOKS[0])
    for _, params in engine.asked[0]:
        assert params.structured_outputs is not None
        assert params.structured_outputs.json == right
    free, engine = made(f"vllm:{folder}?max_tokens=3")
    free.propose(LOOKS[:1])
    assert engine.asked[0][0][1].structured_outputs is None


def test_options_reach_the_engine(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    _, engine = made(f"vllm:{folder}?gpus=2&memory=0.5&dtype=float32&compile=0")
    told = engine.settings
    assert (told["tensor_parallel_size"], told["gpu_memory_utilization"], told["dtype"]) == (2, 0.5, "float32")
    assert told["enforce_eager"]
    assert not told["trust_remote_code"]
    assert not told["mm_device_do_normalize"]
    assert "max_model_len" not in told


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("vllm:", "a folder or a hub name"),
        ("vllm:x?device=cpu", "unknown option 'device'"),
        ("vllm:x?dtype=int4", "bfloat16"),
        ("vllm:x?structured=maybe", "schema"),
        ("vllm:x?memory=2", "0.05 to 1"),
        ("vllm:x?gpus=0", "1 to 1024"),
    ],
)
def test_unusable_options_are_told(spec: str, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    with pytest.raises(SpecError, match=word):
        make_policy(spec)


def test_missing_and_unfit_engines_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"environment of its own: pip install 'segagent\[vllm\]'"):
        make_policy(f"vllm:{folder}")
    stand_in(monkeypatch, "0.11.2")
    with pytest.raises(MissingExtraError, match=r"found 0\.11\.2"):
        make_policy(f"vllm:{folder}")

    def no_device(*_: object, **__: object) -> None:
        raise RuntimeError("Failed to infer device type")

    monkeypatch.setattr(stand_in(monkeypatch), "LLM", no_device)
    with pytest.raises(WeightsError, match="vLLM cannot run it here: RuntimeError: Failed to infer device type"):
        make_policy(f"vllm:{folder}")


def test_what_is_no_whole_checkpoint_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch)
    with pytest.raises(WeightsError, match=r"use hf:"):
        make_policy(f"vllm:{make_qwen_vl(tmp_path / 'qwen-vl')}")
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "base"}))
    with pytest.raises(WeightsError, match="LoRA adapter"):
        make_policy(f"vllm:{adapter}")
    with pytest.raises(WeightsError, match="no checkpoint"):
        make_policy(f"vllm:{tmp_path / 'nothing'}")


def test_presets_and_runs_know_it(tmp_path: Path) -> None:
    preset = load_preset("qwen3-vl-4b+sam2@vllm")
    spec = preset.policy_spec()
    assert spec.startswith("vllm:Qwen/Qwen3-VL-4B-Instruct?revision=")
    assert "&dtype=bfloat16&" in spec
    assert "&structured=schema" in spec
    assert "batch" not in spec
    assert preset.policy_spec("DIR").startswith("vllm:DIR?format=qwen3")
    assert RunOptions().processes(("vllm:DIR", "sam2:DIR"), 100) is None
    with pytest.raises(InputError, match="leave --workers out"):
        RunOptions(workers=2).processes(("vllm:DIR", "sam2:DIR"), 100)
    (tmp_path / FORMAT_FILE).write_text(json.dumps(format_to_dict(FORMATS["molmo"])))
    told = told_format(f"vllm:{tmp_path}?max_tokens=3")
    assert told is not None
    assert told.name == "molmo"


REAL = """
import json
import sys

from segagent.conformance.policies import PolicyConformance, observation
from segagent.core import RefusedError
from segagent.core.recent import Recent
from segagent.policies import make_policy
from segagent.policies.chat import ask


def main(folder):
    options = "max_tokens=6&keep_tokens=1&dtype=float32"
    policy = make_policy(f"vllm:{folder}?{options}&compile=0&context=1200&memory=0.2")
    plain = make_policy(f"hf:{folder}?{options}&device=cpu")
    looks = [observation(40 + 30 * n, 90 - 10 * n, text, seed=n) for n, text in enumerate(("the mug", "a <b>", "x"))]
    rows = policy.propose(looks, 4, temperature=1.0, seeds=[11, 12, 13])
    assert all(len({one.text for one in row}) == 4 for row in rows)
    for row, right in zip(rows, plain.propose(looks), strict=True):
        assert row[0].tokens.ids == right[0].tokens.ids, (row[0], right[0])
        assert row[0].text == right[0].text, (row[0], right[0])
        assert abs(row[0].log_prob - right[0].log_prob) < 1e-4, (row[0], right[0])
    assert policy.usage.prompt_tokens == plain.usage.prompt_tokens
    suite = PolicyConformance()
    suite.test_greedy_is_deterministic_and_the_first_of_several(lambda: policy)
    suite.test_the_observation_is_left_as_it_was(lambda: policy)
    policy.model._answered = Recent(1000)
    alone = policy.propose(looks[1:2], 4, temperature=1.0, seeds=[12])[0]
    assert [one.text for one in alone] == [one.text for one in rows[1]]
    before = policy.usage
    try:
        policy.propose([looks[0], observation(40, 40, "word " * 400), looks[2]], seeds=[1, 2, 3])
    except RefusedError as error:
        assert "maximum context length" in str(error), error
    else:
        raise AssertionError("not refused")
    spent = policy.usage - before
    assert (spent.calls, spent.replies) == (2, 2), spent
    policy.model._structured, policy.model._max_new_tokens = True, 120
    (row,) = policy.model.reply([ask(policy.format, looks[0])], 3, temperature=1.0, seeds=[5])
    for reply in row:
        assert reply.text.lstrip().startswith("{"), reply
        assert reply.cut or set(json.loads(reply.text)) == {"iou", "action", "point"}, reply
    print("ALL RIGHT")


if __name__ == "__main__":
    main(sys.argv[1])
"""


@pytest.mark.slow
def test_the_real_engine(folder: Path, tmp_path: Path) -> None:
    """In a process of its own, which vLLM's engine wants for its main module."""
    pytest.importorskip("vllm")
    script = tmp_path / "real.py"
    script.write_text(REAL)
    result = subprocess.run([sys.executable, str(script), str(folder)], capture_output=True, text=True, check=False)
    assert "ALL RIGHT" in result.stdout, result.stdout[-3000:] + result.stderr[-3000:]
