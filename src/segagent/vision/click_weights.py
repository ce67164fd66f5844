"""Reading and writing the embedded tool's weights: a safetensors file and a JSON description beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from segagent.core import WeightsError
from segagent.cpu import on_one_thread
from segagent.vision.click_network import ClickNetwork, NetworkConfig

SCHEMA = "segagent.tool/2"


def save_network(network: ClickNetwork, path: Path, description: Mapping[str, Any], side: int) -> None:
    """Write ``path`` (float16 safetensors) and ``path`` with suffix .json: sizes, ``description``, view side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    meta = {"schema": SCHEMA, "side": side, "network": network.config.to_dict(), **description}
    # Each file appears whole or not at all: a reader may be looking while training writes.
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata={"schema": SCHEMA})
    partial.chmod(0o644)  # safetensors leaves its files readable for the owner alone
    partial.replace(path)
    partial.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")
    partial.replace(path.with_suffix(".json"))


@on_one_thread()
def load_network(path: Path) -> tuple[ClickNetwork, dict[str, Any]]:
    """The network ready to answer, float32, and its description. Raises ``WeightsError``.

    ``encoder`` in the description is the fingerprint of the encoder it was trained with.
    """
    meta_path = path.with_suffix(".json")
    for file in (path, meta_path):
        if not file.is_file():
            raise WeightsError(f"{file}: no such file; train one with 'segagent train-embedded tool' or reinstall")
    try:
        meta: dict[str, Any] = json.loads(meta_path.read_text(encoding="utf-8"))
        sizes = dict(meta["network"])
        sizes["widths"] = tuple(int(n) for n in sizes["widths"])
        config = NetworkConfig(**sizes)
        schema, _ = meta["schema"], int(meta["side"])
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{meta_path}: not the description of an embedded tool ({error})") from error
    if schema != SCHEMA:
        raise WeightsError(f"{meta_path}: schema {schema!r}, expected {SCHEMA!r}")
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error
    network = ClickNetwork(config)
    floats = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    expected = {name for name in network.state_dict() if not name.endswith("num_batches_tracked")}
    if set(floats) != expected:
        odd = sorted(expected.symmetric_difference(floats))[0]
        raise WeightsError(f"{path}: weights of another architecture (for example {odd!r})")
    try:
        network.load_state_dict(floats, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"{path}: weights of another architecture: {str(error).splitlines()[-1].strip()}") from error
    if not all(bool(torch.isfinite(value).all()) for value in floats.values()):
        raise WeightsError(f"{path}: damaged, some weights are not finite numbers")
    return network.folded(), meta
