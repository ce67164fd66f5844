"""Tiny SAM checkpoints with random weights, saved as published ones are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.utils import logging

SIDE = 64


def _decoder(hidden: int) -> dict[str, int]:
    return {
        "hidden_size": hidden,
        "mlp_dim": 2 * hidden,
        "num_attention_heads": 2,
        "iou_head_hidden_dim": hidden,
        "num_hidden_layers": 2,
    }


def _vit_parts(side: int, hidden: int, width: int) -> dict[str, dict[str, Any]]:
    return {
        "vision_config": {
            "hidden_size": width,
            "output_channels": hidden,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
            "num_pos_feats": hidden // 2,
        },
        "prompt_encoder_config": {"hidden_size": hidden, "image_size": side, "patch_size": 16},
        "mask_decoder_config": _decoder(hidden),
    }


def sam(side: int = SIDE, hidden: int = 32, width: int = 32) -> Any:
    return transformers.SamModel(transformers.SamConfig(**_vit_parts(side, hidden, width)))


def samhq(side: int = SIDE, hidden: int = 32, width: int = 32) -> Any:
    parts = _vit_parts(side, hidden, width)
    parts["mask_decoder_config"]["vit_dim"] = width
    return transformers.SamHQModel(transformers.SamHQConfig(**parts))


def _sam2_parts(side: int, hidden: int) -> dict[str, Any]:
    return {
        "vision_config": {
            "backbone_config": {
                "model_type": "sam2_hiera_det_model",
                "hidden_size": 8,
                "image_size": [side, side],
                "blocks_per_stage": [1, 1, 2, 1],
                "embed_dim_per_stage": [8, 16, 32, 64],
                "num_attention_heads_per_stage": [1, 1, 2, 2],
                "window_size_per_stage": [4, 2, 2, 2],
                "global_attention_blocks": [3],
                "window_positional_embedding_background_size": [2, 2],
            },
            "backbone_channel_list": [64, 32, 16, 8],
            "backbone_feature_sizes": [[side // 4] * 2, [side // 8] * 2, [side // 16] * 2],
            "fpn_hidden_size": hidden,
        },
        "prompt_encoder_config": {"hidden_size": hidden, "image_size": side, "patch_size": 16},
        "mask_decoder_config": _decoder(hidden),
    }


def sam2(side: int = SIDE, hidden: int = 32) -> Any:
    return transformers.Sam2Model(transformers.Sam2Config(**_sam2_parts(side, hidden)))


def sam2_video(side: int = SIDE, hidden: int = 32) -> Any:
    """The class whose configuration the published SAM 2 checkpoints carry."""
    return transformers.Sam2VideoModel(
        transformers.Sam2VideoConfig(
            **_sam2_parts(side, hidden),
            image_size=side,
            memory_attention_hidden_size=hidden,
            memory_attention_num_layers=1,
            memory_attention_feed_forward_hidden_size=hidden,
            memory_attention_rope_feat_sizes=[side // 16] * 2,
            memory_encoder_hidden_size=hidden,
            memory_encoder_output_channels=16,
            mask_downsampler_embed_dim=hidden,
            memory_fuser_embed_dim=hidden,
            memory_fuser_intermediate_dim=hidden,
        )
    )


def sam3(side: int = 56, hidden: int = 32) -> Any:
    patches = side // 14
    vision = {
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": side,
            "patch_size": 14,
            "window_size": 2,
            "global_attn_indexes": [1],
            "pretrain_image_size": 28,
        },
        "fpn_hidden_size": hidden,
        "backbone_feature_sizes": [[4 * patches] * 2, [2 * patches] * 2, [patches] * 2],
    }
    return transformers.Sam3TrackerModel(
        transformers.Sam3TrackerConfig(
            vision_config=vision,
            prompt_encoder_config={"hidden_size": hidden, "image_size": side, "patch_size": 14},
            mask_decoder_config=_decoder(hidden),
        )
    )


def randomised(model: Any, seed: int) -> Any:
    """The same model with weights from ``seed``, large enough that masks have edges."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.ndim > 1:
                spread = 1.5 / parameter[0].numel() ** 0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            elif not name.endswith("weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        for name, buffer in sorted(model.named_buffers()):
            if name.endswith("positional_embedding"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator))
    return model.eval()


BUILDERS = {"sam": sam, "samhq": samhq, "sam2": sam2, "sam3": sam3}

SEEDS = {"sam": 24, "samhq": 2, "sam2": 25, "sam3": 3}
"""Untrained weights put a click inside its mask by luck only; with these seeds they do in the conformance suite."""


def save(kind: str, folder: Path, seed: int | None = None, **sizes: int) -> Path:
    """A checkpoint in ``folder``: configuration and weights, and the processor where its class can be imported."""
    logging.disable_progress_bar()
    model = randomised(BUILDERS[kind](**sizes), SEEDS[kind] if seed is None else seed)
    model.save_pretrained(folder)
    if kind in ("sam", "samhq"):
        side = int(model.config.vision_config.image_size)
        processor = transformers.SamImageProcessorPil(
            size={"longest_edge": side}, pad_size={"height": side, "width": side}
        )
        family = transformers.SamProcessor if kind == "sam" else transformers.SamHQProcessor
        family(processor).save_pretrained(folder)
        # Published files name the class without its back end.
        written = folder / "processor_config.json"
        written.write_text(written.read_text().replace("SamImageProcessorPil", "SamImageProcessor"))
    return folder
