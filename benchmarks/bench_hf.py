"""Replies per second of ``hf:``, against one prompt at a time through plain transformers, in the same run.

The other way is that of the published evaluation: for each step of each episode the mask is drawn into the picture,
which is written as a JPEG file and read again; then come chat template, processor and ``generate``, for this one
prompt. Both ways write the same number of tokens for the same observations: a random disc for a mask, another one in
each step. Printed are

- replies per second of both and their ratio, by the clock and by the processor time, of each step and their median;
- what making a prompt's tensors costs, the processor's own way and ours, and its pictures alone;
- the share of the time that is spent outside the model, for one batch and for several, of which the next is made ready
  meanwhile;
- K candidates from one reading of a prompt against K calls.

    OMP_NUM_THREADS=1 python benchmarks/bench_hf.py                          # tiny random weights, on a CPU
    python benchmarks/bench_hf.py --config qwen2.5-vl-7b --device cuda --dtype bfloat16      # its shape, random weights
    python benchmarks/bench_hf.py --model DIR --device cuda --dtype bfloat16                 # a checkpoint

The shapes of full size were not run by those who wrote this. Random weights never end a reply, so each is as long as
``--tokens`` says; a checkpoint is kept from ending one as well.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image as PillowImage

from segagent.core import Image, Observation, frozen_mask
from segagent.imaging import draw_overlay
from segagent.policies.chat import FORMATS, ChatFormat, ChatPolicy, ask, parse_spec
from segagent.policies.hf import checkpoint_format, fit_to_processor
from segagent.policies.hf.loading import Checkpoint, load_checkpoint
from segagent.policies.hf.model import LocalModel
from segagent.policies.hf.pictures import quick_processor
from segagent.policies.hf.prompts import encode_questions, prompt_text

TINY = {
    "text": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"num_key_value_heads": 2, "section": [1, 1, 2]},
    "vision": {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "fullatt_block_indexes": [1]},
}
_VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
_VISION |= {"fullatt_block_indexes": [7, 15, 23, 31]}
CONFIGS: dict[str, dict[str, Any]] = {
    "tiny": TINY,
    "qwen2.5-vl-3b": {
        "text": {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16}
        | {"num_key_value_heads": 2, "vocab_size": 151936, "section": [16, 24, 24]},
        "vision": _VISION,
    },
    "qwen2.5-vl-7b": {
        "text": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28}
        | {"num_key_value_heads": 4, "vocab_size": 152064, "section": [16, 24, 24]},
        "vision": _VISION,
    },
}
NEVER = 10**9
"""No model's token."""
NAMES = ("endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad")


def made(name: str, device: str, dtype: str, max_pixels: int) -> Checkpoint:
    """A Qwen2.5-VL of that shape with random weights. Its tokenizer has learnt the prompt's words and no others."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    special = [f"<|{one}|>" for one in NAMES]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, special_tokens=special, initial_alphabet=alphabet, show_progress=False, min_frequency=1
    )
    blank = Observation(Image.of(np.zeros((480, 640, 3), np.uint8)), "the mug", frozen_mask(np.zeros((480, 640), bool)))
    words.train_from_iterator([FORMATS["qwen2.5"].prompt(blank)], trainer)
    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=template
    )
    tokenizer.padding_side = "left"
    ids = dict(zip(NAMES, tokenizer.convert_tokens_to_ids(special), strict=True))
    shape = CONFIGS[name]
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": 32768, **shape["text"]}
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": text.pop("section"), "rope_theta": 1e6}
    config = transformers.Qwen2_5_VLConfig(
        text_config=text | {"bos_token_id": ids["im_start"], "eos_token_id": ids["im_end"]},
        vision_config={**shape["vision"], "out_hidden_size": text["hidden_size"], "patch_size": 14, "window_size": 112},
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForImageTextToText.from_config(config, dtype=getattr(torch, dtype))
    pictures = Qwen2VLImageProcessorPil(size={"shortest_edge": 3136, "longest_edge": max_pixels})
    family = transformers.Qwen2_5_VLProcessor
    changes = {"check_argument_for_proper_class": lambda self, name, given: type(given)}
    processor = type(family.__name__, (family,), changes)(
        image_processor=pictures,
        tokenizer=tokenizer,
        video_processor=None,
        chat_template=template,
    )
    return Checkpoint(model.requires_grad_(False).eval(), processor, tokenizer, "qwen2_5_vl")


def observations(count: int, steps: int, height: int, width: int) -> list[list[Observation]]:
    """Of each step those of all episodes."""
    random = np.random.default_rng(0)
    pictures = []
    for _ in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), np.uint8)
        pictures.append(Image.of(np.asarray(PillowImage.fromarray(coarse).resize((width, height)))))
    rows, columns = np.ogrid[:height, :width]
    result = []
    for _ in range(steps):
        shown = []
        for number, picture in enumerate(pictures):
            y, x, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(20, height / 3)
            mask = (rows - y) ** 2 + (columns - x) ** 2 < radius**2
            shown.append(Observation(picture, f"the object number {number}", frozen_mask(mask)))
        result.append(shown)
    return result


def one_at_a_time(checkpoint: Checkpoint, fmt: ChatFormat, shown: list[Observation], tokens: int, file: Path) -> int:
    """Replies to all observations as the published script gets them; the number of tokens written."""
    model, processor, written = checkpoint.model, checkpoint.processor, 0
    for look in shown:
        PillowImage.fromarray(draw_overlay(look.image.pixels, look.mask)).save(file, "JPEG")
        picture = PillowImage.open(io.BytesIO(file.read_bytes())).convert("RGB")
        content = [{"type": "image"}, {"type": "text", "text": fmt.prompt(look)}]
        text = processor.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        inputs = processor(text=[text], images=[picture], return_tensors="pt").to(model.device, dtype=model.dtype)
        settings = transformers.GenerationConfig(
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            eos_token_id=checkpoint.tokenizer.eos_token_id,
            pad_token_id=checkpoint.tokenizer.pad_token_id,
        )
        ids = model.generate(**inputs, generation_config=settings)[0, inputs["input_ids"].shape[1] :]
        fmt.parse(checkpoint.tokenizer.decode(ids), look.image.height, look.image.width)
        written += len(ids)
    return written


def synchronize(device: str) -> None:
    """Wait for an accelerator."""
    if device != "cpu":
        torch.accelerator.synchronize()


def timed(work: Callable[[], Any], device: str) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    synchronize(device)
    clock, processor = time.perf_counter(), time.process_time()
    work()
    synchronize(device)
    return time.perf_counter() - clock, time.process_time() - processor


@contextmanager
def model_watched(model: Any, device: str) -> Iterator[list[float]]:
    """The seconds of each call of the model, and of its vision half where that is called apart."""
    inside: list[float] = []
    depth: list[float] = []

    def before(module: Any, args: Any) -> None:
        if not depth:
            synchronize(device)
        depth.append(time.perf_counter())

    def after(module: Any, args: Any, output: Any) -> None:
        began = depth.pop()
        if not depth:
            synchronize(device)
            inside.append(time.perf_counter() - began)

    base = model.base_model
    seeing = next(
        (part for name in ("visual", "vision_tower") if (part := getattr(base, name, None)) is not None), None
    )
    hooks = []
    for part in (model, seeing):
        if part is not None:
            hooks += [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
    try:
        yield inside
    finally:
        for hook in hooks:
            hook.remove()


def outside(policy: ChatPolicy, shown: list[Observation], device: str) -> float:
    """The share of the time of one call of the policy that the model does not take."""
    assert isinstance(policy.model, LocalModel)
    with model_watched(policy.model.checkpoint.model, device) as inside:
        whole, _ = timed(lambda: policy.propose(shown), device)
    return 1 - sum(inside) / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="a folder or hub name instead of random weights")
    parser.add_argument("--config", choices=CONFIGS, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT of the pictures")
    parser.add_argument("--max-pixels", type=int, default=448**2, help="that a model made here sees of one")
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=24, help="of each reply")
    parser.add_argument("--candidates", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    transformers.logging.set_verbosity_error()
    width, height = map(int, options.size.split("x"))
    device = options.device
    if options.model:
        checkpoint = load_checkpoint(options.model, device=device, dtype=options.dtype)
        fmt = checkpoint_format(parse_spec(options.model, ()), checkpoint)
    else:
        checkpoint = made(options.config, device, options.dtype, options.max_pixels)
        fmt = fit_to_processor(FORMATS["qwen2.5"], checkpoint.processor.image_processor)
    local = LocalModel(checkpoint, batch_size=options.batch, max_new_tokens=options.tokens)
    local._end_tokens = frozenset({NEVER})  # Both ways write as many tokens.
    policy = ChatPolicy("hf:measured", local, fmt)
    shown = observations(options.episodes, options.steps, height, width)
    first = shown[0]
    report: dict[str, Any] = {name: str(value) for name, value in vars(options).items()}
    report["parameters"] = sum(value.numel() for value in checkpoint.model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.jpg"
        one_at_a_time(checkpoint, fmt, first[:2], options.tokens, file)
        policy.propose(first[: options.batch])
        steps = []
        for number, looks in enumerate(shown):
            before = local.usage
            ways: dict[str, Callable[[], Any]] = {
                "theirs": lambda looks=looks: one_at_a_time(checkpoint, fmt, looks, options.tokens, file),  # type: ignore[misc]
                "ours": lambda looks=looks: policy.propose(looks),  # type: ignore[misc]
            }
            took = {name: timed(ways[name], device) for name in sorted(ways, reverse=number % 2 == 0)}
            spent = local.usage - before
            assert spent.completion_tokens == len(looks) * options.tokens
            steps.append(took)
            rates = {name: len(looks) / clock for name, (clock, _) in took.items()}
            print(
                f"step {number + 1}: {rates['theirs']:.2f} replies/s one at a time, {rates['ours']:.2f} ours:",
                f"{rates['ours'] / rates['theirs']:.2f} times by the clock,",
                f"{took['theirs'][1] / took['ours'][1]:.2f} by processor time",
                flush=True,
            )
        report["prompt_tokens"] = spent.prompt_tokens / spent.replies
    report["times_by_clock"] = median(took["theirs"][0] / took["ours"][0] for took in steps)
    report["times_by_processor"] = median(took["theirs"][1] / took["ours"][1] for took in steps)
    questions = [ask(fmt, look) for look in first[:16]]
    pictures = [[PillowImage.fromarray(one.pixels) for one in question.pictures] for question in questions]
    texts = [prompt_text(checkpoint.processor, question) for question in questions]
    own = [
        timed(lambda: checkpoint.processor(text=texts, images=pictures, padding=True, return_tensors="pt"), "cpu")[1]
        for _ in range(3)
    ]
    quick = [timed(lambda: encode_questions(checkpoint.processor, questions), "cpu")[1] for _ in range(3)]
    report["processor_ms"], report["encoding_ms"] = (1000 * median(each) / len(questions) for each in (own, quick))
    halves = [(checkpoint.processor, pictures), (quick_processor(checkpoint.processor), pictures)]
    for half, name in zip(halves, ("processor_pictures_ms", "pictures_ms"), strict=True):
        work = partial(half[0].image_processor, half[1], return_tensors="pt")
        report[name] = 1000 * median(timed(work, "cpu")[1] for _ in range(3)) / len(questions)
    report["outside_one_batch"] = median(outside(policy, first[: options.batch], device) for _ in range(3))
    report["outside_batches"] = median(outside(policy, first, device) for _ in range(3))
    few = first[: max(1, options.batch // options.candidates)]
    seeds = list(range(len(few)))
    together, apart = [], []
    for _ in range(3):
        together.append(timed(lambda: policy.propose(few, options.candidates, temperature=1.0, seeds=seeds), device)[0])
        apart.append(timed(lambda: [policy.propose(few) for _ in range(options.candidates)], device)[0])
    report["candidates_times"] = median(apart) / median(together)
    if device != "cpu":
        report["memory_gib"] = torch.accelerator.max_memory_allocated() / 2**30
    for name, value in report.items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
