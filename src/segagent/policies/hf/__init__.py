"""``hf:DIR|NAME``: policies out of any image-text-to-text checkpoint of the transformers library."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from segagent.core import SpecError
from segagent.core.hub import located
from segagent.policies.chat import (
    BY_MODEL_TYPE,
    FORMAT_FILE,
    FORMATS,
    ChatFormat,
    ChatPolicy,
    ChatSpec,
    Fixed,
    Keep,
    Multiples,
    chosen_format,
    format_for_name,
    parse_spec,
    recorded_format,
    refuse_when_tuned,
)
from segagent.policies.hf.layout import OPTIONS as LAYOUT_OPTIONS
from segagent.policies.hf.layout import layout_of

if TYPE_CHECKING:
    from segagent.policies.hf.loading import Checkpoint

__all__ = ["FORMAT_FILE", "checkpoint_format", "fit_to_processor", "make_hf_policy"]

OPTIONS = ("device", "dtype", "batch", "max_tokens", "base", "revision", "keep_tokens", *LAYOUT_OPTIONS)


def make_hf_policy(rest: str) -> ChatPolicy:
    """The policy that ``hf:REST`` names; REST is a folder or hub name, with ``?name=value&...`` options behind it.

    Options besides those of :func:`segagent.policies.chat.chosen_format`: ``device``, ``dtype``, ``batch`` (prompts
    read at once), ``max_tokens`` (per reply), ``base`` (the model an adapter belongs to), ``revision`` (of a hub name,
    or of ``modelscope://NAME``: it is fetched before it is loaded, see :mod:`segagent.core.hub`), ``keep_tokens=1``
    (records keep each reply's token ids and their log-probabilities); and how the model is laid out, see
    :class:`segagent.policies.hf.layout.Layout`: ``attn``, ``device_map``, ``bits``, ``compile=1``. Without ``format``
    it is the one that a checkpoint fine-tuned here was trained with, else it follows ``config.model_type``; a family
    without a convention of its own must be given one.
    """
    spec = parse_spec(rest, OPTIONS)
    if not spec.target:
        raise SpecError("'hf:': expected hf:DIR or hf:NAME, a folder or a hub name")
    options = spec.options
    if options.get("dtype", "float32") not in ("float32", "bfloat16", "float16"):
        raise SpecError(f"option dtype={options['dtype']!r:.50}: expected float32, bfloat16 or float16")
    batch = round(spec.number("batch", 8, 1, 4096))
    max_tokens = round(spec.number("max_tokens", 256, 1, 1e6))
    keep_tokens = spec.number("keep_tokens", 0, 0, 1) == 1
    layout = layout_of(spec)
    chosen_format(spec, FORMATS["qwen3"])  # Unusable options are told before anything large is fetched or loaded.
    if "revision" in options:
        spec = replace(spec, target=located(spec.target, options["revision"]))
    refuse_when_tuned(spec, None if "format" in options else recorded_format(spec.target))

    from segagent.policies.hf.loading import load_checkpoint
    from segagent.policies.hf.model import LocalModel

    checkpoint = load_checkpoint(
        spec.target, device=options.get("device"), dtype=options.get("dtype"), base=options.get("base"), layout=layout
    )
    fmt = checkpoint_format(spec, checkpoint)
    model = LocalModel(checkpoint, batch_size=batch, max_new_tokens=max_tokens, keep_tokens=keep_tokens)
    return ChatPolicy(f"hf:{rest}", model, fmt)


def checkpoint_format(spec: ChatSpec, checkpoint: Checkpoint) -> ChatFormat:
    """The format in which ``checkpoint``, loaded from ``spec``, is asked and answers; see :func:`make_hf_policy`.

    Raises ``SpecError`` where it cannot be known, ``InputError`` for a damaged file beside the checkpoint.
    """
    if "format" in spec.options:
        default = FORMATS["paper"]  # Whatever: the option overrules it.
    else:
        default = recorded_format(spec.target) or _family(spec.target, checkpoint.model_type)
    return fit_to_processor(chosen_format(spec, default), getattr(checkpoint.processor, "image_processor", None))


def fit_to_processor(fmt: ChatFormat, image_processor: Any) -> ChatFormat:
    """``fmt`` with its resizing rule fitted to the checkpoint's own picture processor.

    Matters where coordinates are pixels of the resized picture: its size must be the one that the processor makes. And
    a processor that crops (LLaVA-1.5's) is given the picture at the size it crops to, or its margins would be lost.
    """
    crop = getattr(image_processor, "crop_size", None) if getattr(image_processor, "do_center_crop", False) else None
    if isinstance(fmt.resize, Keep) and fmt.space.scale is not None and crop:
        return replace(fmt, resize=Fixed(int(crop["height"]), int(crop["width"])))
    if not isinstance(fmt.resize, Multiples) or image_processor is None:
        return fmt
    size = getattr(image_processor, "size", None) or {}
    get = size.get if hasattr(size, "get") else lambda name: getattr(size, name, None)
    least = getattr(image_processor, "min_pixels", None) or get("shortest_edge") or fmt.resize.min_pixels
    most = getattr(image_processor, "max_pixels", None) or get("longest_edge") or fmt.resize.max_pixels
    patch, merge = getattr(image_processor, "patch_size", None), getattr(image_processor, "merge_size", None)
    factor = patch * merge if isinstance(patch, int) and isinstance(merge, int) else fmt.resize.factor
    return replace(fmt, resize=Multiples(factor, int(least), int(most)))


def _family(name: str, model_type: str) -> ChatFormat:
    if model_type in BY_MODEL_TYPE:
        return FORMATS[BY_MODEL_TYPE[model_type]]
    by_name = format_for_name(name)
    if by_name is None:
        known = ", ".join(FORMATS)
        raise SpecError(
            f"hf:{name:.200}: models of type {model_type!r} have no convention known here; "
            f"choose ?format= one of {known}, or a file from 'segagent doctor'"
        )
    return by_name
