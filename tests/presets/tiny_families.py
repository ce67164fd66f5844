"""Tiny random-weight checkpoints of all classes that ``config.model_type`` tells apart."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny_checkpoints
import torch
import transformers

_NAMES = ["endoftext", "im_start", "im_end", "vision_start", "vision_end", "image_pad", "video_pad"]
_SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_ROPE = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
_MIXED = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "decoder_sparse_step": 1,
    "shared_expert_intermediate_size": 16,
}


def _qwen(folder: Path, kind: str, processor: str, text: dict[str, Any], vision: dict[str, Any], patch: int) -> Path:
    """A model of the Qwen-VL line; ``kind`` is the beginning of its classes' names."""
    special = [f"<|{name}|>" for name in _NAMES]
    tokenizer = tiny_checkpoints._tokenizer(special, "<|vision_start|><|image_pad|><|vision_end|>")
    ids = dict(zip(_NAMES, tokenizer.convert_tokens_to_ids(special), strict=True))
    config = getattr(transformers, f"{kind}Config")(
        text_config={
            **_SMALL,
            "vocab_size": len(tokenizer),
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": _ROPE,
            "bos_token_id": ids["im_start"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
            **text,
        },
        vision_config={"depth": 2, "num_heads": 4, "patch_size": patch, **vision},
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
    )
    torch.manual_seed(0)
    getattr(transformers, f"{kind}ForConditionalGeneration")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": processor,
        "min_pixels": 4 * (2 * patch) ** 2,
        "max_pixels": 64 * (2 * patch) ** 2,
        "patch_size": patch,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def qwen2_vl(folder: Path) -> Path:
    vision = {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    return _qwen(folder, "Qwen2VL", "Qwen2VLProcessor", {}, vision, 14)


def _seen(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "intermediate_size": 64,
        "out_hidden_size": 32,
        "num_position_embeddings": 64,
        **more,
    }


def qwen3_vl_moe(folder: Path) -> Path:
    text = {**_MIXED, "head_dim": 8}
    return _qwen(folder, "Qwen3VLMoe", "Qwen3VLProcessor", text, _seen(deepstack_visual_indexes=[0]), 16)


_LINEAR = {
    "head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "rope_parameters": {**_ROPE, "partial_rotary_factor": 1.0},
}


def qwen3_5(folder: Path) -> Path:
    return _qwen(folder, "Qwen3_5", "Qwen3VLProcessor", _LINEAR, _seen(), 16)


def qwen3_5_moe(folder: Path) -> Path:
    return _qwen(folder, "Qwen3_5Moe", "Qwen3VLProcessor", {**_LINEAR, **_MIXED}, _seen(), 16)


def internvl(folder: Path) -> Path:
    """Pictures of 28 x 28, of which 4 tokens are left."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    tokenizer = tiny_checkpoints._tokenizer(special, "<IMG_CONTEXT>")
    end, start, close, context = tokenizer.convert_tokens_to_ids([*special[:3], "<IMG_CONTEXT>"])
    config = transformers.InternVLConfig(
        text_config=transformers.Qwen2Config(
            **_SMALL, vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=4096,
            bos_token_id=start, eos_token_id=close, pad_token_id=end,
        ),
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": [28, 28], "patch_size": [7, 7],
        },
        image_token_id=context,
        image_seq_length=4,
        downsample_ratio=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.InternVLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    extra = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"extra_special_tokens": extra}))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({
            "image_processor_type": "GotOcr2ImageProcessor", "processor_class": "InternVLProcessor",
            "size": {"height": 28, "width": 28}, "crop_to_patches": False,
        })
    )  # fmt: skip
    (folder / "processor_config.json").write_text(
        json.dumps({"processor_class": "InternVLProcessor", "image_seq_length": 4})
    )
    return folder


def llava_next(folder: Path) -> Path:
    tokenizer = tiny_checkpoints._tokenizer(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"], "<image>")
    end, start, close, image = tokenizer.convert_tokens_to_ids(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>"]
    )
    config = transformers.LlavaNextConfig(
        text_config=transformers.LlamaConfig(
            **_SMALL, vocab_size=len(tokenizer), num_key_value_heads=2, max_position_embeddings=4096,
            bos_token_id=start, eos_token_id=close, pad_token_id=end,
        ),
        vision_config=transformers.CLIPVisionConfig(**_SMALL, image_size=28, patch_size=14),
        image_token_index=image,
        image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
        vision_feature_layer=-1,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    processor = transformers.LlavaNextProcessor(
        image_processor=transformers.LlavaNextImageProcessorPil(
            size={"shortest_edge": 28},
            crop_size={"height": 28, "width": 28},
            image_grid_pinpoints=[[28, 56], [56, 28], [56, 56]],
        ),
        tokenizer=tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=tokenizer.chat_template,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": tiny_checkpoints.make_qwen25,
    "qwen3_vl": tiny_checkpoints.make_qwen3,
    "qwen3_vl_moe": qwen3_vl_moe,
    "qwen3_5": qwen3_5,
    "qwen3_5_moe": qwen3_5_moe,
    "internvl": internvl,
    "llava": tiny_checkpoints.make_llava,
    "llava_next": llava_next,
    "qwen": tiny_checkpoints.make_qwen_vl,
}
"""By ``config.model_type``."""
