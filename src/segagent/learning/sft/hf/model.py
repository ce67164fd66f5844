"""Which weights of a checkpoint are trained, and how large the pictures are that it is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from transformers.integrations import is_deepspeed_zero3_enabled

from segagent.core import InputError, MissingExtraError
from segagent.learning.sft.recipe import Recipe
from segagent.policies.chat import ChatSpec
from segagent.policies.hf.layout import layout_of
from segagent.policies.hf.loading import Checkpoint, adapter_base, load_checkpoint

_VISION = ("vision_tower", "visual", "vision_model", "vision_encoder", "image_tower")
_PROJECTORS = ("merger", "projector", "connector", "aligner", "attn_pool")
_BLOCK = re.compile(r"\.(?:layers|h)\.\d+\.")
_TEXT_TOKENS = 640
"""Room for prompt and reply; the rest of ``max_length`` is the pictures'."""


def load_for_training(spec: ChatSpec, recipe: Recipe, dtype: str, *, empty: bool = False) -> Checkpoint:
    """The checkpoint ``spec`` names, on the CPU, its weights to be trained requiring gradients, in float32.

    ``dtype``: of those that are not, beside an adapter. ``empty``: the weights are another process's to read, see
    :func:`segagent.policies.hf.loading.load_checkpoint`; adapters and their base are read all the same.

    Full training: language model, projector, and the vision encoder unless frozen; an adapter among the inputs is
    merged first. LoRA: a new adapter, or the one that ``spec`` names is trained on. Raises ``WeightsError`` for what
    cannot be loaded, ``InputError`` for what the recipe cannot be applied to.
    """
    name, base = spec.target, spec.options.get("base")
    layout = replace(layout_of(spec), moved=True)
    if recipe.lora_rank == 0:
        # Small updates to bfloat16 weights would be lost: they are kept in float32 and only computed with in bfloat16.
        empty = empty and adapter_base(name) is None
        checkpoint = load_checkpoint(name, device="cpu", dtype="float32", base=base, layout=layout, empty=empty)
        _choose_weights(checkpoint.model, freeze_vision=recipe.freeze_vision)
        return checkpoint
    continued = adapter_base(name) is not None
    checkpoint = load_checkpoint(name, device="cpu", dtype=dtype, base=base, layout=layout, trainable_adapter=True)
    if not continued:
        model = _with_lora(checkpoint.model, recipe)
        return Checkpoint(model, checkpoint.processor, checkpoint.tokenizer, checkpoint.model_type)
    rank = checkpoint.model.peft_config["default"].r
    if rank != recipe.lora_rank:
        raise InputError(
            f"hf:{name}: a LoRA adapter of rank {rank} cannot be trained on with lora_rank {recipe.lora_rank}; "
            f"use lora_rank {rank}, or 0 to merge it and train all language weights"
        )
    return checkpoint


def limit_pictures(checkpoint: Checkpoint, max_length: int) -> None:
    """Let the picture processor shrink pictures so that their tokens leave room in ``max_length`` for the text.

    Only where the number of tokens follows the picture's size (Qwen-VL family). The processor is saved with the model,
    so that inference shrinks pictures alike.
    """
    pictures = getattr(checkpoint.processor, "image_processor", None)
    patch, merge = getattr(pictures, "patch_size", None), getattr(pictures, "merge_size", None)
    least, most = _edges(getattr(pictures, "size", None))
    if pictures is None or not (isinstance(patch, int) and isinstance(merge, int) and isinstance(most, int)):
        return
    room = max_length - _TEXT_TOKENS if max_length > 2 * _TEXT_TOKENS else max_length // 2
    limit = room * (patch * merge) ** 2
    if limit < most:
        pictures.size = {"shortest_edge": min(least or limit, limit), "longest_edge": limit}


def _edges(size: Any) -> tuple[int | None, int | None]:
    """Least and most pixels in the size settings of a picture processor, which are a mapping or an object."""
    names = "shortest_edge", "longest_edge"
    found = [size.get(name) if hasattr(size, "get") else getattr(size, name, None) for name in names]
    return found[0], found[1]


def recompute_activations(model: Any) -> None:
    """Let the backward pass compute activations anew instead of keeping them (gradient checkpointing)."""
    settings = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=settings)
    else:  # Its name in earlier versions of the library.
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)


def forget_read_names(model: Any) -> None:
    """Have a model that DeepSpeed's ZeRO-3 has spread while it was read saved under its family's own names.

    The library remembers all names that the family's weights ever had, and would apply them all at once when it saves:
    nothing could read that. Without the memory it saves as it saves a new model.
    """
    if is_deepspeed_zero3_enabled():
        vars(model).pop("_weight_conversions", None)


def spread_blocks(model: Any) -> list[str]:
    """The classes of a model's blocks, each of which is gathered as a whole where weights are spread over processes.

    Models also name classes that are not in them, LLaVA for example, at which accelerate stops. Raises ``InputError``
    where none is left.
    """
    inside = {type(module).__name__ for module in model.modules()}
    found = sorted(inside & set(getattr(model, "_no_split_modules", None) or ()))
    if not found:
        raise InputError(
            f"a model of type {model.config.model_type!r} names no blocks to spread; train it without --fsdp"
        )
    return found


def without_cache(model: Any) -> AbstractContextManager[None]:
    """Keys and values are not kept while training; afterwards the configuration is as it was, fit to be saved."""
    return _caching(model, used=False)


def with_cache(model: Any) -> AbstractContextManager[None]:
    """Keys and values are kept while the model writes replies in between."""
    return _caching(model, used=True)


@contextmanager
def _caching(model: Any, *, used: bool) -> Iterator[None]:
    configs = {id(config): config for config in (model.config, model.config.get_text_config())}.values()
    before = [vars(config).get("use_cache") for config in configs]
    for config in configs:
        config.use_cache = used
    try:
        yield
    finally:
        for config, value in zip(configs, before, strict=True):
            if value is None:
                del config.use_cache
            else:
                config.use_cache = value


def is_vision(parameter: str) -> bool:
    """Whether a parameter of that name belongs to the vision encoder; the projector behind it does not."""
    parts = parameter.split(".")
    return any(part in _VISION for part in parts) and not any(word in part for word in _PROJECTORS for part in parts)


def _choose_weights(model: Any, *, freeze_vision: bool) -> None:
    names = [name for name, _ in model.named_parameters()]
    if freeze_vision and not any(is_vision(name) for name in names):
        raise InputError(
            f"no vision encoder found in a model of type {model.config.model_type!r} (expected a part named "
            f"{', '.join(_VISION)}); set freeze_vision = false to train everything"
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not (freeze_vision and is_vision(name)))


def _with_lora(model: Any, recipe: Recipe) -> Any:
    """``model`` with a new adapter at the linear layers of its language model's blocks, and its projector if wanted."""
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("LoRA needs peft: pip install 'segagent[hf]'") from error
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and (_adapted(name) or (recipe.lora_projector and _projects(name)))
    ]
    if recipe.lora_projector and not any(_projects(name) for name in linear):
        raise InputError(f"no projector's layers found in a model of type {model.config.model_type!r}")
    if not linear:
        raise InputError(f"no language model's layers found in a model of type {model.config.model_type!r}")
    # One pattern: block numbers left open, all else spelled out.
    shapes = sorted({re.sub(r"\\\.\d+\\\.", r"\\.\\d+\\.", re.escape(name)) for name in linear})
    torch.manual_seed(recipe.seed)
    settings = peft.LoraConfig(r=recipe.lora_rank, lora_alpha=recipe.lora_alpha, target_modules="|".join(shapes))
    return peft.get_peft_model(model, settings)


def _adapted(name: str) -> bool:
    """Whether a linear layer belongs to the blocks of the language model."""
    return _BLOCK.search(f".{name}") is not None and not is_vision(name) and not _projects(name)


def _projects(name: str) -> bool:
    return any(word in part for word in _PROJECTORS for part in name.split("."))
