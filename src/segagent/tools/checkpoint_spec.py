"""The part of a specification string after the colon: a checkpoint and options, ``PATH?device=cpu&precision=full``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import torch

from segagent.core import SpecError


@dataclass(frozen=True, slots=True)
class CheckpointSpec:
    """``spec``: the whole string, ``kind:source?options``; ``source``: a path or a hub name."""

    spec: str
    source: str
    options: Mapping[str, str]


def parse_checkpoint_spec(kind: str, rest: str, known: Mapping[str, str]) -> CheckpointSpec:
    """``rest`` (what follows ``kind:``) split into checkpoint and options.

    ``known`` names each option with what it may be, for the message. Raises ``SpecError`` for a missing checkpoint,
    an unknown option or one given twice.
    """
    source, mark, query = rest.partition("?")
    spec = f"{kind}:{rest}"
    if not source:
        raise SpecError(f"{spec!r} names no checkpoint; write {kind}:PATH")
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    described = ", ".join(f"{name}={values}" for name, values in known.items())
    if (mark and not pairs) or len(options) != len(pairs):
        raise SpecError(f"{spec!r}: options are written ?name=value&name=value, each once; known: {described}")
    for name in options:
        if name not in known:
            raise SpecError(f"{spec!r}: unknown option {name!r}; known: {described}")
    return CheckpointSpec(spec, source, options)


def choose_device(name: str) -> torch.device:
    """``auto`` (a CUDA device where there is one, else the CPU) or any name torch knows. Raises ``SpecError``."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SpecError(f"device {name!r} is not one that torch knows; write auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpecError(f"device {name!r} is not available on this machine; write device=cpu or leave it out")
    return device
