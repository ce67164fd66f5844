"""Reading and writing the embedded tool's weights: a safetensors file and a JSON description beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segagent.core import InputError, WeightsError
from segagent.core.texts import read_json
from segagent.cpu import on_one_thread
from segagent.vision.click_network import ClickNetwork, NetworkConfig
from segagent.vision.weights import fill, read_weights, stored, write_weights

SCHEMA = "segagent.tool/2"


def save_network(network: ClickNetwork, path: Path, description: Mapping[str, Any], side: int) -> None:
    """Write ``path`` (float16 safetensors) and ``path`` with suffix .json: sizes, ``description``, view side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = {"schema": SCHEMA, "side": side, "network": network.config.to_dict(), **description}
    halves = {name: v.half() if v.is_floating_point() else v for name, v in stored(network).items()}
    write_weights(halves, path, {"schema": SCHEMA})
    partial = path.with_suffix(".partial")  # Appears whole: a reader may be looking while training writes.
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
        meta: dict[str, Any] = read_json(meta_path)
        sizes = dict(meta["network"])
        sizes["widths"] = tuple(int(n) for n in sizes["widths"])
        config = NetworkConfig(**sizes)
        schema, _ = meta["schema"], int(meta["side"])
    except (InputError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{meta_path}: not the description of an embedded tool ({error})") from error
    if schema != SCHEMA:
        raise WeightsError(f"{meta_path}: schema {schema!r}, expected {SCHEMA!r}")
    network = ClickNetwork(config)
    fill(network, read_weights(path), path)
    return network.folded(), meta
