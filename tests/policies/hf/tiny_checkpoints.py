"""Checkpoints of real architectures with random weights, made on the spot: they talk nonsense, all else is real."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from segagent.policies.hf.qwen_vl.config import QWenConfig
from segagent.policies.hf.qwen_vl.model import QWenLMHeadModel

_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _tokenizer(special: list[str], image: str) -> transformers.PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["Current IoU: 37. Positive point: (412, 377)", "Negative point"] * 10, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=_TEMPLATE.replace("IMAGE", image),
    )


def answering_tokenizer(special: list[str], image: str, answers: Sequence[str]) -> transformers.PreTrainedTokenizerFast:
    """Knows a few whole answers, each as one token; whatever else stands between two tokens is one unknown one. So
    prompts are short, and what a tiny model has to choose from is little.
    """
    vocabulary = {token: number for number, token in enumerate([*special, "[?]"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[?]"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens([AddedToken(answer, normalized=False) for answer in answers])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="[?]",
        chat_template=_TEMPLATE.replace("IMAGE", image),
    )


def make_qwen25(folder: Path, answers: Sequence[str] = (), head: int = 8) -> Path:
    """A Qwen2.5-VL of two small layers; its picture processor takes 3136 to 50176 pixels.

    ``answers``: the only words that it knows, see :func:`answering_tokenizer`. ``head``: the width of each of its four
    attention heads; some kernels take none below 32.
    """
    names = ["endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
    special = [f"<|{name}|>" for name in names]
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    tokenizer = answering_tokenizer(special, image, answers) if answers else _tokenizer(special, image)
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(special), strict=True))
    config = transformers.Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 4 * head,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {
                "rope_type": "default",
                "mrope_section": [head // 8, head // 8, head // 4],
                "rope_theta": 10000.0,
            },
            "bos_token_id": ids["im_start"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 4 * head,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 4 * head,
            "fullatt_block_indexes": [1],
            "patch_size": 14,
            "window_size": 56,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    torch.manual_seed(0)
    transformers.Qwen2_5_VLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": 3136,
        "max_pixels": 50176,
        "patch_size": 14,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def make_qwen3(folder: Path) -> Path:
    """A Qwen3-VL of two small layers; its picture processor takes 4096 to 65536 pixels."""
    names = ["endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
    special = [f"<|{name}|>" for name in names]
    tokenizer = _tokenizer(special, "<|vision_start|><|image_pad|><|vision_end|>")
    ids = dict(zip(names, tokenizer.convert_tokens_to_ids(special), strict=True))
    config = transformers.Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
            "bos_token_id": ids["im_start"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "out_hidden_size": 32,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
            "patch_size": 16,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    torch.manual_seed(0)
    transformers.Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen3VLProcessor",
        "min_pixels": 4096,
        "max_pixels": 65536,
        "patch_size": 16,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def make_llava(folder: Path) -> Path:
    """A LLaVA of small CLIP and Llama halves, pictures of 28 x 28."""
    tokenizer = _tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], "<image>")
    end, start, close, image = tokenizer.convert_tokens_to_ids(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
    )
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
            bos_token_id=start,
            eos_token_id=close,
            pad_token_id=end,
        ),
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=28,
            patch_size=14,
        ),
        image_token_index=image,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
        ),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=tokenizer.chat_template,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return folder


def make_convnext_llava(folder: Path) -> Path:
    """What LLaVA with OpenCLIP's ConvNeXt-L is in the library (FastVLM's class), small; pictures of 64 x 64: 4 tokens.

    Needs the package timm.
    """
    tokenizer = _tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], "<image>")
    config = transformers.FastVlmConfig(
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 4096,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "model_type": "timm_wrapper",
            "architecture": "convnext_large_mlp",
            "hidden_size": 32,
            "do_pooling": False,
            "model_args": {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]},
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(0)
    transformers.FastVlmForConditionalGeneration(config).save_pretrained(folder)
    processor = transformers.LlavaProcessor(
        image_processor=transformers.CLIPImageProcessorPil(size={"height": 64, "width": 64}, do_center_crop=False),
        tokenizer=tokenizer,
        patch_size=32,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
        num_additional_image_tokens=0,
    )
    processor.save_pretrained(folder)
    return folder


_WORDS = (
    "system user assistant You are a helpful assistant. Picture Please optimize the semi-transparent green mask in a "
    "point-wise manner based on the image and description content, so that it covers the target object as accurately "
    "as possible. The object description is as follows: Positive Negative point Current mIoU"
)


def qwen_vocabulary() -> bytes:
    """A ``qwen.tiktoken`` of the 256 bytes and the beginnings of the published prompt's words."""
    tokens = [bytes([value]) for value in range(256)]
    for word in _WORDS.split():
        for piece in (word, f" {word}"):
            tokens += [piece[:end].encode() for end in range(2, len(piece) + 1)]
    unique = list(dict.fromkeys(tokens))
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(unique))


def qwen_vl_settings(**changes: Any) -> dict[str, Any]:
    """The ``config.json`` of a Qwen-VL-Chat of two small layers, with what else stands in the published one."""
    start = qwen_vocabulary().count(b"\n") + 214  # Three tokens, 205 spare ones and three pairs of tags go before.
    visual = {
        "heads": 2,
        "image_size": 56,
        "image_start_id": start,
        "layers": 2,
        "mlp_ratio": 4.9231,
        "output_dim": 128,
        "patch_size": 14,
        "width": 32,
    }
    names = {"AutoConfig": "configuration_qwen.QWenConfig", "AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel"}
    settings = {
        "architectures": ["QWenLMHeadModel"],
        "auto_map": names,
        "model_type": "qwen",
        "hidden_size": 128,
        "intermediate_size": 256,
        "kv_channels": 32,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "rotary_pct": 1.0,
        "scale_attn_weights": True,
        "seq_length": 2048,
        "use_flash_attn": "auto",
        "vocab_size": start + 3,
        "visual": visual,
        **dict.fromkeys(("bf16", "fp16", "fp32"), False),
        **dict.fromkeys(("attn_dropout_prob", "emb_dropout_prob"), 0.0),
    }
    return settings | changes


def set_by_formula(weights: Mapping[str, torch.Tensor]) -> None:
    """Weights that any other program can make too: sines, about as large as a trained model's."""
    with torch.no_grad():
        for place, name in enumerate(sorted(weights)):
            values = weights[name]
            wave = torch.sin(torch.arange(values.numel(), dtype=torch.float64) ** 1.3 + 17 * place).reshape(
                values.shape
            )
            if values.dim() == 1:
                wave = 0.3 * wave + (1 if "ln_" in name and name.endswith("weight") else 0)
            elif "wte" not in name and "query" not in name and "pos" not in name:
                wave = wave * (2 / values.shape[-1]) ** 0.5
            values.copy_(wave)


def make_qwen_vl(folder: Path, **changes: Any) -> Path:
    """A Qwen-VL-Chat of two small layers, pictures of 56 x 56, in a folder like the published one."""
    settings = qwen_vl_settings(**changes)
    torch.manual_seed(0)
    model = QWenLMHeadModel(QWenConfig(**settings))
    folder.mkdir(exist_ok=True)
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "qwen.tiktoken").write_bytes(qwen_vocabulary())
    names = {"AutoTokenizer": ["tokenization_qwen.QWenTokenizer", None]}
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "QWenTokenizer", "auto_map": names}))
    sampling = {"chat_format": "chatml", "do_sample": True, "eos_token_id": 0, "top_k": 0, "top_p": 0.3}
    (folder / "generation_config.json").write_text(json.dumps(sampling))
    return folder
