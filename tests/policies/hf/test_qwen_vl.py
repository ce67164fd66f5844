"""Qwen-VL, the published SegAgent-Qwen's family, against numbers that the published modelling code gave.

That code is no part of this repository. It was run as it is on the same weights, vocabulary, picture and prompt (see
docs/segagent-qwen.md).
"""

from __future__ import annotations

import base64
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")

import torch
import transformers
from safetensors.torch import load_file, save_file
from sft_examples import EXAMPLES, short_format, training_set
from tiny_checkpoints import make_qwen_vl, qwen_vl_settings, qwen_vocabulary, set_by_formula

from segagent.core import Image, Observation, WeightsError, empty_mask
from segagent.learning.sft import Recipe, train_policy_on
from segagent.learning.sft.hf import recipe_name
from segagent.learning.sft.hf.model import is_vision
from segagent.policies import make_policy
from segagent.policies.chat import FORMATS, ChatPolicy, ask
from segagent.policies.hf.decoding import Writing, write_replies
from segagent.policies.hf.loading import Checkpoint, load_checkpoint
from segagent.policies.hf.prompts import closing_token, encode_questions, end_tokens, prompt_text
from segagent.policies.hf.qwen_vl.config import QWenConfig
from segagent.policies.hf.qwen_vl.model import QWenLMHeadModel
from segagent.policies.hf.qwen_vl.tokenizer import make_tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(scope="module", autouse=True)
def quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_qwen_vl(tmp_path_factory.mktemp("qwenvl"))


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Checkpoint:
    return load_checkpoint(str(folder), device="cpu", dtype="float32")


def looked_at() -> Observation:
    pixels = np.add.outer(np.arange(60) * 3, np.arange(90) * 2)[..., None] * [1, 2, 3] % 256
    return Observation(Image.of(pixels.astype(np.uint8)), "the red mug", empty_mask(60, 90))


def published_shapes() -> dict[str, tuple[int, ...]]:
    """The parameters of Qwen-VL-Chat as the published index and modelling code name and shape them."""
    width, gated, vision, inner, vocabulary = 4096, 11008, 1664, 8192, 151936
    shapes: dict[str, tuple[int, ...]] = {
        "lm_head.weight": (vocabulary, width),
        "transformer.wte.weight": (vocabulary, width),
    }
    for layer in range(32):
        shapes |= {
            f"transformer.h.{layer}.{name}": shape
            for name, shape in {
                "ln_1.weight": (width,),
                "attn.c_attn.weight": (3 * width, width),
                "attn.c_attn.bias": (3 * width,),
                "attn.c_proj.weight": (width, width),
                "ln_2.weight": (width,),
                "mlp.w1.weight": (gated, width),
                "mlp.w2.weight": (gated, width),
                "mlp.c_proj.weight": (width, gated),
            }.items()
        }
    shapes["transformer.ln_f.weight"] = (width,)
    for layer in range(48):
        linear = {
            "attn.in_proj": (3 * vision, vision),
            "attn.out_proj": (vision, vision),
            "mlp.c_fc": (inner, vision),
            "mlp.c_proj": (vision, inner),
        }
        block = f"transformer.visual.transformer.resblocks.{layer}"
        for name, shape in linear.items():
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{name}.weight": (vision,), f"{block}.{name}.bias": (vision,)}
    rest: dict[str, tuple[int, ...]] = {
        "conv1.weight": (vision, 3, 14, 14),
        "positional_embedding": (256, vision),
        "proj": (width, width),
        "attn_pool.pos_embed": (256, width),
        "attn_pool.query": (256, width),
        "attn_pool.kv_proj.weight": (width, vision),
        "attn_pool.attn.in_proj_weight": (3 * width, width),
        "attn_pool.attn.in_proj_bias": (3 * width,),
        "attn_pool.attn.out_proj.weight": (width, width),
        "attn_pool.attn.out_proj.bias": (width,),
    }
    norms = {"ln_pre": vision, "ln_post": width, "attn_pool.ln_q": width, "attn_pool.ln_kv": width}
    for name, size in norms.items():
        rest |= {f"{name}.weight": (size,), f"{name}.bias": (size,)}
    return shapes | {f"transformer.visual.{name}": shape for name, shape in rest.items()}


def test_every_parameter_of_the_published_checkpoint_has_its_place() -> None:
    with torch.device("meta"):
        model = QWenLMHeadModel(QWenConfig())
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    assert ours == published_shapes()
    assert len(ours) == 853  # As many as the published index lists,
    assert 2 * sum(value.numel() for value in model.state_dict().values()) == 19313870336  # and its bytes in bfloat16.


REFERENCE = [
    (
        {},
        [-1.80468, -0.06261, 0.53039, -0.48301, -1.27533, 2.36223],
        [-0.8174, 0.54225, 0.07296, -0.37402, 0.65427, 1.60084],
        [392, 455, 303, 544, 18, 406, 812, 406, 812, 406, 812, 406],
    ),
    (  # Longer than it was trained for: dynamic NTK and log-n attention.
        {"seq_length": 100},
        [-1.89839, -0.03358, 0.75899, -0.43082, -1.1345, 2.40513],
        [-0.80909, 0.57505, -0.0001, -0.26329, 0.72618, 1.64298],
        [392, 455, 303, 819, 341, 138, 207, 805, 465, 725, 208, 802],
    ),
    (
        {"no_bias": False},
        [-0.18446, -0.46195, -0.18771, -0.34418, 1.48776, 0.20446],
        [0.74446, 0.88986, 1.53196, 0.00368, 1.96339, -0.87637],
        [146] * 12,
    ),
]


@pytest.mark.parametrize(("changes", "last", "inside", "reply"), REFERENCE)
def test_logits_and_reply_are_the_published_codes(
    changes: dict[str, Any], last: list[float], inside: list[float], reply: list[int], tmp_path: Path
) -> None:
    """In the last place of the prompt, and in one inside the picture."""
    make_qwen_vl(tmp_path, **changes)
    weights = load_file(tmp_path / "model.safetensors")
    set_by_formula(weights)
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    checkpoint = load_checkpoint(str(tmp_path), device="cpu", dtype="float32")
    question = ask(FORMATS["segagent-qwen"], looked_at())
    inputs = encode_questions(checkpoint.processor, [question])
    assert inputs["input_ids"].shape == (1, 343)
    with torch.no_grad():
        logits = checkpoint.model(**inputs).logits[0]
    chosen = [0, 97, 300, 500, 700, -1]
    np.testing.assert_allclose(logits[-1, chosen], last, atol=1e-4)
    np.testing.assert_allclose(logits[150, chosen], inside, atol=1e-4)
    # The same in a batch with a shorter prompt, which is padded, and with samples beside the greedy reply.
    shorter = ask(FORMATS["segagent-qwen"], replace(looked_at(), text="x"))
    batch = encode_questions(checkpoint.processor, [question, shorter])
    writing = Writing(3, 1.0, 12, end_tokens(checkpoint), checkpoint.tokenizer.pad_token_id)
    written = write_replies(checkpoint.model, [(batch, [1, 2])], writing)
    assert list(written[0][0].tokens) == reply


def test_a_prompt_is_the_published_one_token_by_token(loaded: Checkpoint) -> None:
    text = prompt_text(loaded.processor, ask(FORMATS["segagent-qwen"], looked_at()))
    head, _, tail = text.partition("Please optimize")
    assert head == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nPicture 1: <img></img>\n"
    )
    assert tail.endswith("as follows:<ref>the red mug</ref><|im_end|>\n<|im_start|>assistant\n")
    tokenizer = loaded.tokenizer
    ids = encode_questions(loaded.processor, [ask(FORMATS["segagent-qwen"], looked_at())])["input_ids"][0].tolist()
    start = loaded.model.config.visual["image_start_id"]
    place = ids.index(start)
    assert ids[place : place + 258] == [start] + [start + 2] * 256 + [start + 1]
    first = qwen_vocabulary().count(b"\n")
    named = {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<|extra_0|>": 3, "<ref>": 208, "</quad>": 213}
    assert {word: tokenizer.convert_tokens_to_ids(word) - first for word in named} == named
    assert end_tokens(loaded) == {first, first + 1, first + 2}
    assert closing_token(loaded) == first + 2


def test_pictures_are_squeezed_and_normalised(loaded: Checkpoint) -> None:
    """Against figures of torchvision's Resize, ToTensor and Normalize, as the published code uses them."""
    pixels = encode_questions(loaded.processor, [ask(FORMATS["segagent-qwen"], looked_at())])["pixel_values"]
    assert pixels.shape == (1, 3, 56, 56)
    expected = [[-1.777664, 0.601879, -0.361617], [-1.737089, -0.65653, 1.204433], [-1.45178, 1.989476, -0.925637]]
    np.testing.assert_allclose(pixels[0, :, [0, 20, 55], [0, 31, 55]], expected, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["Positive point: (377, 412)", "Ünïcödé 狗が好き", "a  b\n\n c\t1234's", "<box>(1,2),(3,4)</box>"]
)
def test_text_is_what_its_tokens_say(text: str, loaded: Checkpoint) -> None:
    tokens = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert loaded.tokenizer.decode(tokens, skip_special_tokens=False) == text


def test_the_lowest_merge_goes_first_and_whole_pieces_before_it() -> None:
    """tiktoken's rules: of all neighbours that make a token, the lowest number; a piece that is a token is one."""
    tokens = [bytes([value]) for value in range(256)] + [b"bc", b"ab", b"cd", b"abcx", b"qrs"]
    vocabulary = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    tokenizer = make_tokenizer(vocabulary, "a test")

    def pieces(text: str) -> list[str]:
        return [tokenizer.decode([token]) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]

    assert pieces("abcd") == ["a", "bc", "d"]
    assert pieces("abcx") == ["abcx"]
    assert pieces("qrs") == ["qrs"]
    assert pieces("qrst") == ["q", "r", "s", "t"]
    assert pieces("bc12 'S") == ["bc", "1", "2", " ", "'", "S"]


def as_bin(source: Path, target: Path) -> Path:
    """The same checkpoint in two ``.bin`` shards with an index, as the published one is stored."""
    shutil.copytree(source, target)
    weights = load_file(target / "model.safetensors")
    (target / "model.safetensors").unlink()
    places = {name: f"pytorch_model-0000{1 + n % 2}-of-00002.bin" for n, name in enumerate(weights)}
    for file in set(places.values()):
        torch.save({name: weights[name] for name in weights if places[name] == file}, target / file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (target / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return target


def test_bin_shards_are_read_like_safetensors(folder: Path, loaded: Checkpoint, tmp_path: Path) -> None:
    target = as_bin(folder, tmp_path / "bin")
    read = load_checkpoint(str(target), device="cpu", dtype="bfloat16").model.state_dict()
    for name, value in loaded.model.state_dict().items():
        assert read[name].dtype == torch.bfloat16
        assert torch.equal(read[name], value.bfloat16())
    (reply,) = make_policy(f"hf:{target}?dtype=bfloat16&max_tokens=3").propose([looked_at()])
    assert reply[0].text


class Trap:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.file), "w")


def test_a_bin_file_that_would_run_something_is_refused(folder: Path, tmp_path: Path) -> None:
    target = as_bin(folder, tmp_path / "bin")
    torch.save({"lm_head.weight": Trap(tmp_path / "was run")}, target / "pytorch_model-00001-of-00002.bin")
    with pytest.raises(WeightsError, match="more than tensors"):
        load_checkpoint(str(target), device="cpu", dtype="float32")
    assert not (tmp_path / "was run").exists()


def damaged(target: Path, change: str) -> None:
    config = json.loads((target / "config.json").read_text())
    match change:
        case "a shard is cut":
            shard = target / "pytorch_model-00002-of-00002.bin"
            shard.write_bytes(shard.read_bytes()[:2000])
        case "a shard is gone":
            (target / "pytorch_model-00002-of-00002.bin").unlink()
        case "weights are gone":
            shard = target / "pytorch_model-00002-of-00002.bin"
            kept = torch.load(shard, weights_only=True)
            torch.save(dict(list(kept.items())[2:]), shard)
        case "another shape":
            config["intermediate_size"] = 512
        case "no vocabulary":
            (target / "qwen.tiktoken").unlink()
        case "half a vocabulary":
            text = (target / "qwen.tiktoken").read_bytes()
            (target / "qwen.tiktoken").write_bytes(text[: len(text) // 3])
        case "another vocabulary":
            (target / "qwen.tiktoken").write_bytes(
                b"".join(base64.b64encode(bytes([n])) + b" %d\n" % n for n in range(256))
            )
        case "no base64":
            (target / "qwen.tiktoken").write_text("version https://git-lfs\n")
        case "text only":
            del config["visual"]
        case "no layers":
            del config["visual"]["layers"]
        case "partial rotation":
            config["rotary_pct"] = 0.5
        case "quantised":
            config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
        case "another width":
            config["visual"]["output_dim"] = 256
    (target / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("a shard is cut", "cannot be read|damaged"),
        ("a shard is gone", "pytorch_model-00002-of-00002.bin"),
        ("weights are gone", "these weights are missing: "),
        ("another shape", "cannot be read"),
        ("no vocabulary", "has no qwen.tiktoken"),
        ("half a vocabulary", "line |not a whole vocabulary"),
        ("another vocabulary", "vocabulary of another model"),
        ("no base64", "line 1"),
        ("text only", "reads text only"),
        ("no layers", "'layers'"),
        ("partial rotation", "rotary_pct = 0.5"),
        ("quantised", "quantised weights"),
        ("another width", "output_dim is 256"),
    ],
)
def test_what_cannot_be_loaded_is_told(change: str, told: str, folder: Path, tmp_path: Path) -> None:
    target = as_bin(folder, tmp_path / "bin")
    damaged(target, change)
    with pytest.raises(WeightsError, match=told) as raised:
        load_checkpoint(str(target), device="cpu", dtype="float32")
    assert str(target) in str(raised.value)


def test_the_places_in_a_prompt_must_be_the_pictures(loaded: Checkpoint) -> None:
    with pytest.raises(ValueError, match="2 places in a prompt for 0 pictures"):
        loaded.processor(text=["<img></img> and <img></img>"], images=[[]])
    ids = loaded.tokenizer("<img><imgpad></img>", return_tensors="pt")["input_ids"]
    with pytest.raises(ValueError, match="1 places in the text for 1 pictures of 256"):
        loaded.model(input_ids=ids, pixel_values=torch.zeros(1, 3, 56, 56))


def trained(folder: Path, out: Path, short: str, **changes: Any) -> None:
    settings = {
        "steps": 4,
        "batch_size": 2,
        "micro_batch": 2,
        "learning_rate": 1e-3,
        "dtype": "float32",
        "format": short,
    }
    model = train_policy_on(f"hf:{folder}", [training_set(*EXAMPLES[:2])], out, Recipe(**(settings | changes)))
    assert model.losses[-1][1] < model.losses[0][1]


@pytest.mark.slow
def test_it_is_fine_tuned(folder: Path, tmp_path: Path) -> None:
    """All but the vision encoder, then an adapter on the result; both are loaded again as what they are."""
    pytest.importorskip("peft")
    short, full, adapter = short_format(tmp_path), tmp_path / "full", tmp_path / "adapter"
    assert recipe_name(str(folder)) == "transformers"
    trained(folder, full, short)
    before, after = load_file(folder / "model.safetensors"), load_file(full / "model.safetensors")
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(is_vision(name) for name in changed)
    assert Counter(is_vision(name) for name in before) == {True: 31, False: 30}
    assert "transformer.visual.attn_pool.attn.in_proj_weight" in changed
    assert "transformer.h.1.attn.c_attn.weight" in changed
    then, now = (json.loads((one / "config.json").read_text()) for one in (folder, full))
    assert {key: now[key] for key in then} == then
    assert (full / "qwen.tiktoken").read_bytes() == qwen_vocabulary()
    assert {path.suffix for path in full.iterdir()} <= {".json", ".jsonl", ".safetensors", ".tiktoken", ".toml"}
    trained(full, adapter, short, lora_rank=2, lora_alpha=4)
    assert len(load_file(adapter / "adapter_model.safetensors")) == 2 * 5 * 2
    for spec in (full, adapter):
        policy = make_policy(f"hf:{spec}?max_tokens=4")
        assert isinstance(policy, ChatPolicy)
        assert policy.format.name == "short"
        policy.propose([looked_at()])


def test_settings_that_are_not_ours_are_kept(tmp_path: Path) -> None:
    settings = qwen_vl_settings(onnx_safe=None, tokenizer_type="QWenTokenizer")
    QWenLMHeadModel(QWenConfig(**settings)).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["tokenizer_type"] == "QWenTokenizer"
    assert saved["visual"] == settings["visual"]
