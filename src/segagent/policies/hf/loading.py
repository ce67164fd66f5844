"""Checkpoints of vision-language models from a folder or the hub, LoRA adapters on top of them included."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from segagent.core import InputError, MissingExtraError, WeightsError
from segagent.core.texts import read_json, read_text
from segagent.imaging import write_bytes
from segagent.policies.hf.layout import Layout

_NAMED = 8


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A loaded model: ``model`` in evaluation mode, ``processor`` (pictures and text to tensors), ``tokenizer``.

    ``model`` is None where another program has it, see :func:`read_without_weights`.
    """

    model: Any
    processor: Any
    tokenizer: Any
    model_type: str


def load_checkpoint(
    name: str,
    *,
    device: str | None,
    dtype: str | None,
    base: str | None = None,
    layout: Layout = Layout(),  # noqa: B008 - frozen
    trainable_adapter: bool = False,
    empty: bool = False,
) -> Checkpoint:
    """Load ``name``, a folder or a hub name, laid out as ``layout`` says.

    ``device``: "cpu", "cuda:1"; None takes a GPU where there is one. ``dtype``: "float32", "bfloat16", "float16"; None
    takes float32 on a CPU, bfloat16 elsewhere. A folder with ``adapter_config.json`` is a LoRA adapter: the model that
    it names, or ``base``, is loaded and the adapter merged into it; with ``trainable_adapter`` it is left beside the
    model, and its weights alone require gradients, in float32. It is left there too where weights have few bits, which
    a sum would not fit into. With ``empty`` the weights are not read: a process that is handed its part by another one
    has room set aside for them, which nothing fills. No code of a checkpoint is ever run. Raises ``WeightsError`` if
    something cannot be loaded, ``MissingExtraError`` without transformers or what ``layout`` needs.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise MissingExtraError("policies 'hf:...' need transformers: pip install 'segagent[hf]'") from error
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    number = getattr(torch, dtype) if dtype else (torch.float32 if place.type == "cpu" else torch.bfloat16)
    from segagent.policies.hf.qwen_vl import is_qwen_vl, load_model, load_processor

    arguments = layout.arguments(place, number)
    adapter = adapter_base(name)
    root = base or adapter or name
    source = name if (Path(name) / "tokenizer_config.json").is_file() else root
    if is_qwen_vl(root):
        model, found = load_model(root, device=place, dtype=number, told=arguments)
        processor: Any = load_processor(model, source)
    elif empty:
        model, found = _empty_model(root, number, layout.attn), {"missing_keys": ()}
        processor = _processor(root, source)
    else:
        try:
            model, found = transformers.AutoModelForImageTextToText.from_pretrained(
                root, dtype=number, use_safetensors=True, trust_remote_code=False, output_loading_info=True, **arguments
            )
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
            raise WeightsError(f"{root}: no vision-language model that can be loaded here: {_short(error)}") from error
        processor = _processor(root, source)
    # The library would fill them with random numbers and only warn.
    missing = sorted(found["missing_keys"])
    if missing:
        told = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
        raise WeightsError(f"{root}: these weights are missing: {told}; fetch the checkpoint again")
    if adapter is not None:
        merge = not trainable_adapter and not layout.bits
        model = _with_adapter(model.requires_grad_(False), name, merge=merge, trained=trainable_adapter)
    if not (trainable_adapter and adapter is not None):
        model.requires_grad_(False)
    return _addressed(layout.laid_out(model.eval(), place), processor, str(model.config.model_type), source)


def read_without_weights(name: str) -> Checkpoint:
    """What there is to know of a checkpoint whose weights another program reads: its processor and its family.

    Raises ``WeightsError`` where it cannot be read, or holds no whole model of the transformers library.
    """
    import transformers

    from segagent.policies.hf.qwen_vl import is_qwen_vl

    if adapter_base(name) is not None:
        raise WeightsError(f"{name}: a LoRA adapter; hf: puts it onto its model, other programs are given whole ones")
    if is_qwen_vl(name):
        raise WeightsError(f"{name}: Qwen-VL, which is run by code of our own; use hf:")
    try:
        config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{name}: no checkpoint of the transformers library: {_short(error)}") from error
    return _addressed(None, _processor(name, name), str(config.model_type), name)


def _addressed(model: Any, processor: Any, model_type: str, source: str) -> Checkpoint:
    """A checkpoint that can be talked to. Raises ``WeightsError`` where it is not known how."""
    tokenizer = processor.tokenizer
    # Replies continue the right end of every prompt of a batch, so padding goes to the left.
    tokenizer.padding_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if not (getattr(processor, "chat_template", None) or tokenizer.chat_template):
        raise WeightsError(f"{source}: the checkpoint has no chat template, so it is not known how to address it")
    return Checkpoint(model, processor, tokenizer, model_type)


def _empty_model(root: str, number: Any, attn: str | None) -> Any:
    """The model of a checkpoint's configuration with parameters that hold whatever was in memory.

    Memory that is never written is not taken from the machine. accelerate tells parameters apart by their addresses, so
    they need some. Buffers, which a model computes, are as they ought to be.
    """
    import torch
    import transformers
    from accelerate import init_empty_weights

    try:
        config = transformers.AutoConfig.from_pretrained(root, trust_remote_code=False)
        with init_empty_weights(include_buffers=False):
            model = transformers.AutoModelForImageTextToText.from_config(config, dtype=number, attn_implementation=attn)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{root}: no vision-language model that can be made here: {_short(error)}") from error
    model._apply(lambda values: torch.empty_like(values, device="cpu") if values.is_meta else values)
    model.tie_weights()
    return model


def adapter_base(name: str) -> str | None:
    """The model that a folder's adapter belongs to; None if the folder holds no adapter."""
    path = Path(name) / "adapter_config.json"
    if not path.is_file():
        return None
    try:
        named = read_json(path)["base_model_name_or_path"]
    except (InputError, KeyError, TypeError) as error:
        raise WeightsError(f"{path}: not an adapter's configuration ({_short(error)})") from error
    if not isinstance(named, str) or not named:
        raise WeightsError(f"{path}: names no base model; give it with ?base=DIR")
    return named


def _with_adapter(model: Any, name: str, *, merge: bool, trained: bool) -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("LoRA adapters need peft: pip install 'segagent[hf]'") from error
    try:
        adapted = peft.PeftModel.from_pretrained(model, name, is_trainable=trained)
        if trained:
            return adapted
        return adapted.merge_and_unload() if merge else adapted.get_base_model()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise WeightsError(f"{name}: the adapter does not fit its base model: {_short(error)}") from error


def _processor(root: str, tokens: str) -> Any:
    """The checkpoint's own processor; where that needs a missing torchvision, its PIL and tokenizer halves."""
    import transformers

    try:
        processor = transformers.AutoProcessor.from_pretrained(tokens, trust_remote_code=False)
        if (
            getattr(processor, "image_processor", None) is not None
            and getattr(processor, "tokenizer", None) is not None
        ):
            return processor
        reason = "AutoProcessor gives no picture processor"
    except (ImportError, OSError, ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
        reason = _short(error)
    try:
        return _without_video(root, tokens)
    except (ImportError, OSError, ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{tokens}: no processor can be made ({reason}; without its video half: {_short(error)})"
        ) from error


def _without_video(root: str, tokens: str) -> Any:
    """The family's processor class made of a PIL picture processor and the tokenizer, its video half left empty."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    config = transformers.AutoConfig.from_pretrained(root, trust_remote_code=False)
    family = getattr(transformers, PROCESSOR_MAPPING_NAMES[config.model_type])
    own = any((Path(tokens) / file).is_file() for file in ("preprocessor_config.json", "processor_config.json"))
    pictures = transformers.AutoImageProcessor.from_pretrained(
        tokens if own else root, backend="pil", trust_remote_code=False
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokens, trust_remote_code=False)
    # What the processor is told besides its halves, such as how many tokens a picture takes.
    told, _ = family.get_processor_dict(tokens if own else root)
    known = inspect.signature(family.__init__).parameters
    parts = ("image_processor", "tokenizer", "video_processor", "chat_template")
    settings = {name: value for name, value in told.items() if name in known and name not in parts}
    # The class insists on a video processor; nothing here ever shows it a video.
    changes = {
        "check_argument_for_proper_class": lambda self, name, given: type(given),
        "save_pretrained": _save_without_video,
    }
    made = type(family.__name__, (family,), changes)
    return made(
        image_processor=pictures,
        tokenizer=tokenizer,
        video_processor=None,
        chat_template=_chat_template(tokens, tokenizer),
        **settings,
    )


def _save_without_video(processor: Any, folder: str | Path, **options: Any) -> None:
    """Write a processor without its video half, which the library cannot save: its parts one by one."""
    del options
    family, place = type(processor).__name__, Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    settings = {**processor.image_processor.to_dict(), "processor_class": family}
    write_bytes(place / "preprocessor_config.json", (json.dumps(settings, indent=1) + "\n").encode())
    processor.tokenizer._set_processor_class(family)
    processor.tokenizer.save_pretrained(place)
    if isinstance(processor.chat_template, str):
        (place / "chat_template.jinja").write_text(processor.chat_template, encoding="utf-8")


def _chat_template(folder: str, tokenizer: Any) -> str | None:
    """The chat template beside a checkpoint, in any of the places where there may be one."""
    for name in ("chat_template.jinja", "chat_template.json"):
        path = Path(folder) / name
        if path.is_file():
            return str(read_json(path)["chat_template"]) if name.endswith(".json") else read_text(path)
    template = tokenizer.chat_template
    return template if isinstance(template, str) else None


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
