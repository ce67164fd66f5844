"""Options of the embedded tool's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from segagent.vision.click_network import NetworkConfig


@dataclass(frozen=True, slots=True)
class ToolTraining:
    """How the embedded click tool is trained.

    The budget is ``steps`` if given, else ``minutes`` of training time (summed over resumptions); learning rate and
    view size follow the fraction of the budget that is spent. ``photographs`` are COCO-format folders, drawn from in
    proportion to the square root of their number of objects; without any, training is on generated scenes alone.

    ``encoder``: what to see with, a file of published ImageNet weights of EfficientNet-Lite0 (.pth) or an
    ``encoder.safetensors``; left out, the packaged one. It stays as it is, since others read it too, and runs once per
    episode. Tuning it made clicks no better and cost the policy categories (docs/log.md).

    ``device`` is where the network is trained, for torch ("cpu", "cuda", "cuda:1"). The episodes are simulated on the
    CPU: in this process, or, with ``workers``, by so many processes of ``batch`` episodes each, all of which make one
    step's batch.
    """

    minutes: float = 45.0
    steps: int | None = None
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    workers: int = 0
    photographs: tuple[Path, ...] = ()
    photograph_share: float = 0.62
    pasted_share: float = 0.12
    scene_share: float = 0.2
    leaf_share: float = 0.06
    batch: int = 16
    small_side: int = 192
    side: int = 256
    small_fraction: float = 0.5
    encoder: Path | None = None
    empty_share: float = 0.75
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.998
    checkpoint_seconds: float = 120.0
    log_every: int = 20
    network: NetworkConfig = field(default_factory=NetworkConfig)
