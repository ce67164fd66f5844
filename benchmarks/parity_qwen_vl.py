"""Qwen-VL's published modelling code beside ours, on random weights; its tokenizer beside ours, on any text.

    python benchmarks/parity_qwen_vl.py make OUT            # tiny; --full: one layer of each kind at full size
    PUBLIC/bin/python benchmarks/parity_qwen_vl.py public CHECKOUT OUT
    python benchmarks/parity_qwen_vl.py compare OUT
    PUBLIC/bin/python benchmarks/parity_qwen_vl.py public-tokens CHECKOUT TEXTS OUT
    python benchmarks/parity_qwen_vl.py compare-tokens CHECKOUT TEXTS OUT

CHECKOUT is a folder with the published modeling_qwen.py, visual.py, tokenization_qwen.py, configuration_qwen.py,
qwen_generation_utils.py, qwen.tiktoken and pytorch_model.bin.index.json, used as they are; none of them is kept here.
PUBLIC is an environment for them: transformers 4.37, torch, torchvision, tiktoken, einops, matplotlib, requests; not
this package. They fetch a font on import, unless the working folder holds a ``SimSun.ttf``; an empty file will do.
TEXTS is a JSON list of texts. ``--seq-length 100`` has the long prompts' ways of attending tested. ``--dtype
bfloat16``, of ``public`` and ``compare`` after the same in float32, tells how far both are from the published code in
float32, and from each other.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

WORDS = "Please optimize the semi-transparent green mask in a point-wise manner based on the image and description "
PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nPicture 1: <img>{}</img>\n"
    + WORDS
    + "content, so that it covers the target object as accurately as possible. The object description is as "
    "follows:<ref>{}</ref><|im_end|>\n<|im_start|>assistant\n"
)
TEXTS = ("the red mug", "a dog, left of the man in the white jacket", "狗 x Ünïcode")
SIZES = ((37, 61), (480, 640), (300, 200))
NEW_TOKENS = 40


def make(out: Path, *, full: bool, seq_length: int) -> None:
    from segagent.policies.hf.qwen_vl.config import QWenConfig
    from segagent.policies.hf.qwen_vl.model import QWenLMHeadModel

    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "policies" / "hf"))
    from tiny_checkpoints import make_qwen_vl, qwen_vl_settings

    settings = qwen_vl_settings(seq_length=seq_length)
    if full:
        sizes = {"hidden_size": 4096, "kv_channels": 128, "num_attention_heads": 32, "intermediate_size": 22016}
        picture = {"heads": 16, "image_size": 448, "layers": 1, "output_dim": 4096, "width": 1664}
        settings |= sizes | {"num_hidden_layers": 1, "visual": settings["visual"] | picture}
    make_qwen_vl(out, **settings)
    torch.manual_seed(1)
    model = QWenLMHeadModel(QWenConfig(**settings))
    with torch.no_grad():
        for name, values in model.named_parameters():
            if values.dim() == 1:
                values.copy_(float("ln_" in name and name.endswith("weight")) + 0.3 * torch.randn(values.shape))
            elif "pos" in name:
                values.add_(0.3 * torch.randn(values.shape))
            else:
                values.normal_(std=1.0 if "wte" in name or "query" in name else values.shape[-1] ** -0.5)
    model.save_pretrained(out)
    (out / "config.json").write_text(json.dumps(settings))
    np.savez(out / "pictures.npz", *(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8) for size in SIZES))


def published(checkout: Path, name: str) -> ModuleType:
    """A module of the checkout, which becomes a package of its own."""
    if "published" not in sys.modules:
        sys.modules["published"] = ModuleType("published")
        sys.modules["published"].__path__ = [str(checkout)]
    return importlib.import_module(f"published.{name}")


def public(checkout: Path, out: Path, *, dtype: str) -> None:
    from PIL import Image

    tokenizer = published(checkout, "tokenization_qwen").QWenTokenizer(str(out / "qwen.tiktoken"))
    code = published(checkout, "modeling_qwen")
    config = published(checkout, "configuration_qwen").QWenConfig.from_pretrained(out)
    config.fp32, config.bf16 = dtype == "float32", dtype == "bfloat16"
    model = code.QWenLMHeadModel.from_pretrained(out, config=config).eval()
    found: dict[str, Any] = {}
    for number, (pixels, text) in enumerate(zip(np.load(out / "pictures.npz").values(), TEXTS, strict=True)):
        path = out / f"{number}.png"
        Image.fromarray(pixels).save(path)
        ids = tokenizer([PROMPT.format(path, text)], return_tensors="pt").input_ids
        stops = [[tokenizer.im_end_id], [tokenizer.im_start_id]]
        with torch.no_grad():
            found[f"logits{number}"] = model(ids).logits[0].float().numpy()
            found[f"features{number}"] = model.transformer.visual.encode([str(path)])[0].float().numpy()
            reply = model.generate(
                ids, stop_words_ids=stops, generation_config=model.generation_config, do_sample=False,
                max_new_tokens=NEW_TOKENS, eos_token_id=tokenizer.eod_id, pad_token_id=tokenizer.eod_id,
            )  # fmt: skip
        found[f"ids{number}"], found[f"reply{number}"] = ids[0].numpy(), reply[0, ids.shape[1] :].numpy()
    np.savez(out / f"public-{dtype}.npz", **found)
    (out / "shapes.json").write_text(json.dumps({name: list(v.shape) for name, v in model.state_dict().items()}))


def compare(out: Path, *, dtype: str) -> None:
    from segagent.policies.chat import FORMATS, Picture, Question
    from segagent.policies.chat.templates import fill
    from segagent.policies.hf.decoding import write_replies
    from segagent.policies.hf.loading import load_checkpoint
    from segagent.policies.hf.prompts import encode_questions, end_tokens

    theirs, exact = (np.load(out / f"public-{name}.npz") for name in (dtype, "float32"))
    one = load_checkpoint(str(out), device="cpu", dtype=dtype)
    ours = {name: list(value.shape) for name, value in one.model.state_dict().items()}
    print(
        "parameters by name and shape:",
        len(ours),
        "equal" if ours == json.loads((out / "shapes.json").read_text()) else "DIFFER",
    )
    template = FORMATS["segagent-qwen"].template
    questions = [
        Question((Picture(pixels, ""),), fill(template, {"object": text}))
        for pixels, text in zip(np.load(out / "pictures.npz").values(), TEXTS, strict=True)
    ]
    settings = {"max_new_tokens": NEW_TOKENS, "end_tokens": end_tokens(one), "pad_token": one.tokenizer.pad_token_id}
    together = write_replies(
        one.model, encode_questions(one.processor, questions), 3, temperature=1.0, seeds=[1, 2, 3], **settings
    )
    for number, question in enumerate(questions):
        inputs = encode_questions(one.processor, [question])
        with torch.no_grad():
            logits = one.model(**inputs).logits[0].float().numpy()
            features = one.model.transformer.visual(inputs["pixel_values"].to(one.model.dtype))[0].float().numpy()
        ids = inputs["input_ids"][0].numpy()
        text = ids != one.model.config.visual["image_start_id"] + 2  # Theirs hides the file's name in there.
        reply = theirs[f"reply{number}"].tolist()
        stop = next((place for place, token in enumerate(reply) if token in end_tokens(one)), len(reply))
        print(
            f"prompt {number}: {len(ids)} tokens, equal: {np.array_equal(ids[text], theirs[f'ids{number}'][text])};",
            f"largest difference of picture features {np.abs(features - theirs[f'features{number}']).max():.1e},",
            f"of logits {np.abs(logits - theirs[f'logits{number}']).max():.1e} (spread {logits.std():.2f});",
            f"greedy reply of {stop} tokens, in a batch of {len(questions)}, equal:",
            list(together[number][0].tokens) == reply[:stop],
        )
        for what, ours_in in (("features", features), ("logits", logits)) if dtype != "float32" else ():
            in_theirs, right = theirs[f"{what}{number}"], exact[f"{what}{number}"]
            pairs = {"ours to theirs": (ours_in, in_theirs), "ours to exact": (ours_in, right)}
            pairs["theirs to exact"] = in_theirs, right
            print(f"    {what}, root mean square (largest), spread {right.std():.2f}:", end="")
            print(
                *(f" {name} {_rms(a - b):.1e} ({np.abs(a - b).max():.1e})" for name, (a, b) in pairs.items()), sep=";"
            )


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def public_tokens(checkout: Path, texts: Path, out: Path) -> None:
    tokenizer = published(checkout, "tokenization_qwen").QWenTokenizer(str(checkout / "qwen.tiktoken"))
    out.write_text(json.dumps([tokenizer.encode(text) for text in json.loads(texts.read_text())]))


def compare_tokens(checkout: Path, texts: Path, out: Path) -> None:
    from segagent.policies.hf.qwen_vl.model import QWenConfig, QWenLMHeadModel
    from segagent.policies.hf.qwen_vl.tokenizer import make_tokenizer

    with torch.device("meta"):
        ours = set(QWenLMHeadModel(QWenConfig()).state_dict())
    listed = set(json.loads((checkout / "pytorch_model.bin.index.json").read_text())["weight_map"])
    print("names of the published index:", len(listed), "equal" if ours == listed else f"DIFFER: {ours ^ listed}")
    tokenizer = make_tokenizer((checkout / "qwen.tiktoken").read_bytes(), str(checkout))
    pairs = list(zip(json.loads(texts.read_text()), json.loads(out.read_text()), strict=True))
    differing = [text for text, tokens in pairs if tokenizer(text)["input_ids"] != tokens]
    print(f"{len(pairs)} texts, {sum(len(tokens) for _, tokens in pairs)} tokens, differing texts: {len(differing)}")
    for text in differing[:10]:
        print("  ", ascii(text[:100]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["make", "public", "compare", "public-tokens", "compare-tokens"])
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--seq-length", type=int, default=2048)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.step == "make":
        make(*given.paths, full=given.full, seq_length=given.seq_length)
    elif given.step in ("public", "compare"):
        {"public": public, "compare": compare}[given.step](*given.paths, dtype=given.dtype)
    else:
        {"public-tokens": public_tokens, "compare-tokens": compare_tokens}[given.step](*given.paths)


if __name__ == "__main__":
    main()
