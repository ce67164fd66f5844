"""How ``hf:`` models are laid out: other kernels, devices and bits are the same model."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("transformers")

import torch
import transformers
from tiny_checkpoints import make_llava, make_qwen25, make_qwen_vl

from segagent.annotation.presets import load_preset
from segagent.conformance.policies import observation
from segagent.core import MissingExtraError, SpecError, WeightsError
from segagent.policies import make_policy
from segagent.policies.chat import ChatPolicy, ChatSpec, ask
from segagent.policies.hf.layout import ATTENTIONS, Layout, layout_of
from segagent.policies.hf.model import LocalModel

MAKERS = {"qwen2.5": make_qwen25, "llava": make_llava, "qwen-vl": make_qwen_vl}
LOOKS = [observation(40 + 30 * n, 90 - 10 * n, text, seed=n) for n, text in enumerate(("the mug", "x"))]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return {name: make(tmp_path_factory.mktemp(name.replace(".", ""))) for name, make in MAKERS.items()}


def model_of(spec: str) -> tuple[ChatPolicy, torch.nn.Module]:
    policy = make_policy(spec)
    assert isinstance(policy, ChatPolicy)
    assert isinstance(policy.model, LocalModel)
    return policy, policy.model.checkpoint.model


def logits(policy: ChatPolicy) -> torch.Tensor:
    """Of every token of two prompts, (tokens, vocabulary)."""
    assert isinstance(policy.model, LocalModel)
    inputs = policy.model._inputs([ask(policy.format, look) for look in LOOKS])
    with torch.no_grad():
        made = policy.model.checkpoint.model(**inputs).logits
    return torch.as_tensor(made[inputs["attention_mask"].bool()])


@pytest.mark.parametrize("name", MAKERS)
def test_attention_and_device_map_change_no_logits(name: str, folders: dict[str, Path]) -> None:
    plain, _ = model_of(f"hf:{folders[name]}?max_tokens=3")
    right = logits(plain)
    texts = [[one.text for one in row] for row in plain.propose(LOOKS, 2, temperature=1.0, seeds=[1, 2])]
    for option in ("attn=eager", "attn=sdpa", "device_map=auto"):
        policy, model = model_of(f"hf:{folders[name]}?max_tokens=3&{option}")
        torch.testing.assert_close(logits(policy), right, atol=1e-4, rtol=0)
        told = [[one.text for one in row] for row in policy.propose(LOOKS, 2, temperature=1.0, seeds=[1, 2])]
        assert told == texts
        if option.startswith("attn"):
            assert model.config._attn_implementation == option.partition("=")[2]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ("attn=fast", "sdpa"),
        ("attn=kernels-community/flash-attn", "eager, sdpa"),
        ("attn=flex_attention", "GPUs"),
        ("attn=flash_attention_2", "bfloat16 or float16"),
        ("device_map=everywhere", "balanced"),
        ("device_map=auto&device=cpu", "give one of them"),
        ("bits=3", "4 or 8"),
        ("compile=yes", "from 0 to 1"),
    ],
)
def test_unusable_options_are_told(options: str, word: str, folders: dict[str, Path]) -> None:
    with pytest.raises(SpecError, match=word):
        make_policy(f"hf:{folders['qwen2.5']}?device=cpu&{options}" if "device" not in options else f"hf:x?{options}")


def test_flash_attention_names_its_package(folders: dict[str, Path]) -> None:
    with pytest.raises(MissingExtraError, match=r"flash-attn.*attn=sdpa"):
        make_policy(f"hf:{folders['qwen2.5']}?device=cpu&dtype=bfloat16&attn=flash_attention_2")


def test_an_architecture_without_an_attention_is_told() -> None:
    assert set(ATTENTIONS) - set(transformers.AttentionInterface().valid_keys()) <= {"eager"}
    with pytest.raises(WeightsError, match="no vision-language model"):
        make_policy("hf:/nowhere?attn=sdpa")


@pytest.mark.parametrize("options", ["bits=4", "bits=8"])
def test_missing_bitsandbytes_names_the_extra(
    options: str, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"needs bitsandbytes: pip install 'segagent\[bits\]'"):
        make_policy(f"hf:{folders['qwen2.5']}?{options}")


def test_bitsandbytes_that_knows_no_cpu_is_told(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("bitsandbytes")
    old.__version__ = "0.41.0"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bitsandbytes", old)
    with pytest.raises(MissingExtraError, match=r"0\.41\.0 does not run on 'cpu', only on cuda"):
        make_policy(f"hf:{folders['qwen2.5']}?device=cpu&bits=8")


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
def test_weights_of_few_bits_write_replies(bits: int, tmp_path: Path) -> None:
    """Runs where bitsandbytes is installed; the numbers are near those of the whole weights."""
    pytest.importorskip("bitsandbytes")
    make_qwen25(tmp_path, head=32)
    plain, _ = model_of(f"hf:{tmp_path}?max_tokens=3&device=cpu")
    policy, model = model_of(f"hf:{tmp_path}?max_tokens=3&device=cpu&bits={bits}")
    kinds = {type(module).__name__ for module in model.get_submodule("model.language_model").modules()}
    assert {8: "Linear8bitLt", 4: "Linear4bit"}[bits] in kinds
    seen = {type(module).__name__ for module in model.get_submodule("model.visual").modules()}
    assert not seen & {"Linear8bitLt", "Linear4bit"}
    difference = (logits(policy) - logits(plain)).abs().max()
    assert 0 < difference < 0.2
    assert all(len(row) == 2 for row in policy.propose(LOOKS, 2, temperature=1.0, seeds=[1, 2]))


def test_a_missing_compiler_is_told(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: object) -> None:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", none)
    with pytest.raises(MissingExtraError, match=r"compile=1 needs a C\+\+ compiler.*No working"):
        make_policy(f"hf:{folders['qwen2.5']}?device=cpu&compile=1")


def test_only_the_language_model_is_compiled(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.nn.Module] = []
    monkeypatch.setattr("segagent.policies.hf.layout._require_compiler", lambda *_: None)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, **_: compiled.append(self))
    for name in MAKERS:
        _, model = model_of(f"hf:{folders[name]}?device=cpu&compile=1")
        assert compiled[-1] is model.get_decoder()
        assert compiled[-1] is not model


def test_layouts_are_read_from_options() -> None:
    assert layout_of(ChatSpec("x", {})) == Layout()
    told = {"attn": "eager", "device_map": "balanced", "bits": "8", "compile": "1"}
    assert layout_of(ChatSpec("x", told)) == Layout("eager", "balanced", 8, compiled=True)


def test_training_takes_an_attention_and_nothing_else(folders: dict[str, Path]) -> None:
    from segagent.learning.sft.hf.model import load_for_training
    from segagent.learning.sft.recipe import load_recipe

    recipe = load_recipe("transformers", lora_rank=0)
    spec = ChatSpec(str(folders["qwen2.5"]), {"attn": "eager", "device": "cpu"})
    assert load_for_training(spec, recipe, "float32").model.config._attn_implementation == "eager"


def test_presets_say_how_their_weights_are_laid_out(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    local = '[local]\nattn = "sdpa"\ndevice_map = "auto"\nbits = 4\ncompile = true\n'
    weights = '[policy_weights]\nhub = "me/model"\nrevision = "main"\nlicence = "mine"\ngigabytes = 1\n'
    file.write_text(f'[tool]\nkind = "sam"\n{weights}{local}')
    spec = load_preset(str(file)).policy_spec()
    assert spec.endswith("revision=main&attn=sdpa&device_map=auto&bits=4&compile=1")
