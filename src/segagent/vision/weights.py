"""Weights of our own networks: safetensors files that appear whole or not at all, read with care."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from segagent.core import WeightsError


def stored(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network that are stored; how many batches its statistics are of is not."""
    tensors = network.state_dict().items()
    return {name: value for name, value in tensors if not name.endswith("num_batches_tracked")}


def write_weights(tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write ``path``. A reader may be looking meanwhile."""
    partial = path.with_suffix(".partial")
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata=metadata)
    partial.chmod(0o644)  # safetensors leaves its files readable for the owner alone
    partial.replace(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of ``path``, floats as float32. Raises ``WeightsError`` naming the file."""
    try:
        read = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged, not a readable safetensors file ({error})") from error
    if not all(bool(torch.isfinite(value).all()) for value in read.values()):
        raise WeightsError(f"{path}: damaged, some weights are not finite numbers")
    return {name: value.float() if value.is_floating_point() else value for name, value in read.items()}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Give ``network`` the ``tensors`` of ``path``. Raises ``WeightsError`` where they are not its own."""
    odd = sorted(set(stored(network)) ^ set(tensors))
    if odd:
        raise WeightsError(f"{path}: weights of another architecture ({len(odd)} differ, for example {odd[0]!r})")
    try:
        network.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path}: weights of another architecture: {str(error).splitlines()[-1].strip()}") from error
