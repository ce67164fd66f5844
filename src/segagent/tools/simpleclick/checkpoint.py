"""Reading SimpleClick checkpoints: the published ``.pth`` files without running any code of theirs, or safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from segagent.core import WeightsError
from segagent.tools.simpleclick.layout import read_layout
from segagent.tools.simpleclick.network import SimpleClickNetwork

_UNUSED = ("backbone.cls_token", "backbone.fc_norm.", "backbone.head.", "backbone.pre_logits.", "head.up_conv")
"""Weights of published files that no answer depends on: the pretraining's classifier, upsampling that is left out."""

_PUBLISHED_PACKAGE = "isegm."


class _Inert:
    """Stands for an object of the published package inside a checkpoint (its loss function); does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def load_simpleclick(path: Path) -> SimpleClickNetwork:
    """The network of a checkpoint, in evaluation mode, float32, on the CPU.

    Raises ``WeightsError`` for a file that is missing, damaged, of another architecture, or that would need code of its
    own to be read.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file; expected a published SimpleClick checkpoint (.pth) or safetensors")
    state, config = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pth(path)
    kind = str(config.pop("class", "PlainVitModel"))
    if not kind.endswith("PlainVitModel"):
        raise WeightsError(f"{path}: a network of class {kind}; only SimpleClick's plain ViT networks are read")
    try:
        layout = read_layout(state, config)
    except KeyError as error:
        raise WeightsError(f"{path}: not a SimpleClick network, it has no weight {error}") from error
    except (ValueError, TypeError, IndexError) as error:
        raise WeightsError(f"{path}: not a SimpleClick network ({error})") from error
    network = SimpleClickNetwork(layout)
    expected = set(network.state_dict())
    odd = sorted(expected - set(state)) or sorted(
        name for name in set(state) - expected if not name.startswith(_UNUSED)
    )
    if odd:
        raise WeightsError(f"{path}: not a SimpleClick network of known layout (for example weight {odd[0]!r})")
    try:
        network.load_state_dict({name: state[name].float() for name in expected})
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise WeightsError(f"{path}: not a SimpleClick network of known layout ({reason})") from error
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise WeightsError(f"{path}: damaged, some weights are not finite numbers; fetch it again")
    return network.eval().requires_grad_(False)


def _read_pth(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and parameters of a file written by ``torch.save``, read by torch's restricted unpickler.

    Published files hold their loss function, an object of the published package. Such names are mapped to a class that
    does nothing; any other name that the restricted unpickler does not know is refused.
    """
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except (ValueError, RuntimeError, OSError, UnpicklingError, KeyError, EOFError):
        names = []  # an older container or a damaged file: the restricted reader below decides
    foreign = [name for name in names if not name.startswith(_PUBLISHED_PACKAGE)]
    if foreign:
        raise WeightsError(f"{path}: refused, it would run code to be read ({foreign[0]})")
    try:
        with torch.serialization.safe_globals([(_Inert, name) for name in names]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path}: not a readable checkpoint ({reason}); fetch it again") from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: not a SimpleClick checkpoint, it holds a {type(content).__name__}")
    weights = content.get("state_dict", content)
    if not isinstance(weights, Mapping):
        raise WeightsError(f"{path}: not a SimpleClick checkpoint, its state_dict holds no weights")
    state = {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}
    return state, _parameters(content.get("config"))


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of a safetensors file under the published names; its metadata may hold ``config`` as JSON."""
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            written = (file.metadata() or {}).get("config", "{}")
        config = json.loads(written)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error}); fetch it again") from error
    return state, _parameters(config)


def _parameters(config: object) -> dict[str, Any]:
    """Parameters by name, and the network's ``class``: from the published form, name to {type, value, specified}."""
    if not isinstance(config, Mapping):
        return {}
    parameters = config.get("params")
    if not isinstance(parameters, Mapping):
        return dict(config)
    values = {str(name): p["value"] for name, p in parameters.items() if isinstance(p, Mapping) and "value" in p}
    return {**values, "class": config.get("class", "PlainVitModel")}
