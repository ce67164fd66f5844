"""Loading a SAM checkpoint, and the preprocessing that belongs to it, through transformers."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from segagent.core import Image, MissingExtraError, WeightsError
from segagent.tools.sam.families import SamFamily
from segagent.tools.sam.frame import Frame

# What goes wrong in a checkpoint shows in many types: torch, zip, pickle, safetensors, JSON, checks of configurations.
_LOADING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    TypeError,
    KeyError,
    AttributeError,
    UnpicklingError,
    SafetensorError,
)

Preprocess = Callable[[Image], Tensor]
"""A picture to the model's input, float32 (1, 3, side, side)."""


def transformers_module() -> Any:
    """transformers, imported on first use. Raises ``MissingExtraError`` where it is not installed."""
    if importlib.util.find_spec("transformers") is None:
        raise MissingExtraError('this tool needs transformers; install it with: pip install "segagent[hf]"')
    return importlib.import_module("transformers")


def load_model(family: SamFamily, source: str) -> Any:
    """The model of a local directory or hub name, in evaluation mode, float32, on the CPU.

    Raises ``WeightsError`` for a checkpoint that is missing, damaged, incomplete or of another family. No code that
    comes with a checkpoint is run.
    """
    transformers = transformers_module()
    looks_local = Path(source).is_absolute() or source.startswith((".", "~"))
    if looks_local and not Path(source).expanduser().is_dir():
        raise WeightsError(f"{source}: no such directory; expected a checkpoint with config.json and its weights")
    path = str(Path(source).expanduser()) if looks_local else source
    try:
        config, _ = transformers.PreTrainedConfig.get_config_dict(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{source}: no readable checkpoint there ({_first_line(error)})") from error
    found = config.get("model_type")
    if found not in family.model_types:
        wanted = " or ".join(family.model_types)
        raise WeightsError(f"{source}: a checkpoint of model type {found!r}, but {family.kind!r} reads {wanted}")
    model_class = getattr(transformers, family.model_class)
    try:
        model, report = model_class.from_pretrained(path, dtype=torch.float32, output_loading_info=True)
    except _LOADING_ERRORS as error:
        reason = _first_line(error)
        raise WeightsError(f"{source}: the checkpoint cannot be loaded ({reason}); fetch it again") from error
    lacking = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        amount = f"{len(lacking)} weights are missing or of another shape"
        raise WeightsError(f"{source}: {amount}, for example {lacking[0]}; fetch it again")
    return model.eval().requires_grad_(False)


def make_preprocess(family: SamFamily, source: str, side: int) -> tuple[Preprocess, str]:
    """The preprocessing of a checkpoint, and who does it: ``transformers`` or ``own``.

    transformers' image processor is preferred. Where it cannot be imported (SAM 2's and SAM 3's need torchvision) or
    the checkpoint has none, the picture is resized, normalised and padded here, with the checkpoint's numbers if it
    names any.
    """
    transformers = transformers_module()
    path = str(Path(source).expanduser()) if Path(source).expanduser().is_dir() else source
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(path)
    except (ImportError, OSError, ValueError):
        return _own_preprocess(transformers, family, path, side), "own"
    if not _gives(processor, side):
        return _own_preprocess(transformers, family, path, side), "own"

    own = _own_preprocess(transformers, family, path, side)

    def preprocess(image: Image) -> Tensor:
        if 2 * side * min(image.height, image.width) <= max(image.height, image.width):
            return own(image)  # so narrow that the processor would round a side to nothing
        inputs = processor(images=image.pixels, input_data_format="channels_last", return_tensors="pt")
        values: Tensor = inputs["pixel_values"]
        return values.float()

    return preprocess, "transformers"


def _own_preprocess(transformers: Any, family: SamFamily, path: str, side: int) -> Preprocess:
    auto = importlib.import_module("transformers.models.auto.image_processing_auto")
    try:
        written: dict[str, Any] = auto.get_image_processor_config(path)
    except (OSError, ValueError):
        written = {}
    mean = _three(written.get("image_mean"), family.mean)
    std = _three(written.get("image_std"), family.std)

    def preprocess(image: Image) -> Tensor:
        return Frame.of(image.height, image.width, side, family).pixel_values(image, mean, std)

    return preprocess


def _gives(processor: Any, side: int) -> bool:
    """Whether a processor's output has the model's input size (a file may have been copied from another checkpoint)."""
    size = processor.size
    sides = {int(n) for n in (size.get("longest_edge"), size.get("height"), size.get("width")) if n}
    return sides == {side}


def _three(values: object, default: tuple[float, float, float]) -> tuple[float, float, float]:
    if isinstance(values, list | tuple) and len(values) == 3:
        return float(values[0]), float(values[1]), float(values[2])
    return default


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
