"""A folder or hub name of the family as a model and a processor. Nothing that comes with it is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import GenerationConfig, PreTrainedConfig
from transformers.utils import cached_file

from segagent.core import WeightsError
from segagent.policies.hf.qwen_vl.config import QWenConfig, check_settings
from segagent.policies.hf.qwen_vl.model import QWenLMHeadModel
from segagent.policies.hf.qwen_vl.processor import VOCABULARY_FILE, QWenProcessor
from segagent.policies.hf.qwen_vl.tokenizer import END_OF_TEXT, IMAGE_START, TURN_END, TURN_START, make_tokenizer


def is_qwen_vl(name: str) -> bool:
    """Whether the ``config.json`` of a folder or hub name is of this architecture; False where there is none."""
    return "QWenLMHeadModel" in (_settings(name).get("architectures") or ())


def load_model(
    name: str, *, device: torch.device, dtype: torch.dtype, told: Mapping[str, Any] = MappingProxyType({})
) -> tuple[QWenLMHeadModel, dict[str, Any]]:
    """The model on ``device`` in ``dtype``, and what transformers tells of its loading (``missing_keys``).

    ``told``: more arguments of ``from_pretrained``; a ``device_map`` among them goes before ``device``.

    Read tensor by tensor, with one copy in memory: safetensors where there are any, else ``.bin`` files through torch's
    restricted unpickler. Raises ``WeightsError`` for settings that are not known here and for weights of another shape,
    damaged ones, and files of more than tensors.
    """
    settings = _settings(name)
    check_settings(settings, name)
    try:
        loaded: tuple[QWenLMHeadModel, dict[str, Any]] = QWenLMHeadModel.from_pretrained(
            name,
            config=QWenConfig(**settings),
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=False,
            **{"device_map": None if device.type == "cpu" else {"": device}, **told},
        )
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{name}: a .bin file with more than tensors in it, or a damaged one; not read") from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise WeightsError(f"{name}: the weights cannot be read: {detail}") from error
    return loaded


def load_processor(model: QWenLMHeadModel, name: str) -> QWenProcessor:
    """The processor of ``model`` with the vocabulary in ``name``; tells ``model`` how replies end.

    Raises ``WeightsError`` where there is no vocabulary or it belongs to another model.
    """
    try:
        found = cached_file(name, VOCABULARY_FILE)
        vocabulary = Path(found).read_bytes()
    except OSError as error:
        raise WeightsError(f"{name}: has no {VOCABULARY_FILE}; copy it there from the checkpoint's base") from error
    tokenizer = make_tokenizer(vocabulary, found)
    visual = model.config.visual
    start = tokenizer.convert_tokens_to_ids(IMAGE_START)
    if start != visual["image_start_id"] or len(tokenizer) > model.config.vocab_size:
        raise WeightsError(
            f"{found}: the vocabulary of another model: its {IMAGE_START} is token {start} of {len(tokenizer)}, "
            f"the model's {visual['image_start_id']} of {model.config.vocab_size}"
        )
    # The published evaluation stops at all three.
    ends = [tokenizer.convert_tokens_to_ids(text) for text in (END_OF_TEXT, TURN_END, TURN_START)]
    # The other two are what the published code's own chat expects beside weights that are tuned here.
    model.generation_config = GenerationConfig(
        eos_token_id=ends, pad_token_id=ends[0], chat_format="chatml", max_window_size=6144
    )
    return QWenProcessor(tokenizer, vocabulary, int(visual["image_size"]))


def _settings(name: str) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = PreTrainedConfig.get_config_dict(name)[0]
    except (OSError, ValueError):
        return {}  # The general way of loading tells what is wrong.
    return settings
