"""Options of the embedded tool's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from segagent.tools.network import NetworkConfig


@dataclass(frozen=True, slots=True)
class ToolTraining:
    """How the embedded click tool is trained.

    The budget is ``steps`` if given, else ``minutes`` of training time (summed over resumptions); learning rate and
    view size follow the fraction of the budget that is spent. ``photographs`` is a COCO-format folder; without
    it training is on generated scenes alone.
    """

    minutes: float = 45.0
    steps: int | None = None
    seed: int = 0
    threads: int = 1
    photographs: Path | None = None
    photograph_share: float = 0.45
    pasted_share: float = 0.1
    scene_share: float = 0.35
    leaf_share: float = 0.1
    batch: int = 16
    small_side: int = 160
    side: int = 256
    small_fraction: float = 0.75
    empty_share: float = 0.75
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    checkpoint_seconds: float = 120.0
    log_every: int = 20
    network: NetworkConfig = field(default_factory=NetworkConfig)
