"""Options of the embedded tool's training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from segagent.vision.click_network import NetworkConfig


@dataclass(frozen=True, slots=True)
class ToolTraining:
    """How the embedded click tool is trained; learning rate and view size follow the fraction of the budget that is
    spent."""

    minutes: float = 45.0
    """Training time, summed over resumptions; the budget where ``steps`` is not given."""
    steps: int | None = None
    """The budget in training steps."""
    seed: int = 0
    """Of initialisation and data."""
    threads: int = 1
    """Of the CPU."""
    device: str = "cpu"
    """Where the network is trained, for torch ("cpu", "cuda", "cuda:1"); episodes are simulated on the CPU."""
    workers: int = 0
    """Processes that simulate ``batch`` episodes each, all of which make one step's batch; 0: this process does."""
    photographs: tuple[Path, ...] = ()
    """COCO-format folders, drawn from in proportion to the square root of their number of objects; without any,
    training is on generated scenes alone."""
    photograph_share: float = 0.62
    """Share of episodes on photographs, where there are any."""
    pasted_share: float = 0.12
    """On things of photographs pasted onto others."""
    scene_share: float = 0.2
    """On generated scenes."""
    leaf_share: float = 0.06
    """On regions of dead-leaves pictures: boundaries without any category."""
    batch: int = 16
    """Episodes of a step, or of each worker."""
    small_side: int = 192
    """Side of views at first, in pixels."""
    side: int = 256
    """Side of views later."""
    small_fraction: float = 0.5
    """Of the budget that is spent on small views."""
    encoder: Path | None = None
    """What to see with: published ImageNet weights of EfficientNet-Lite0 (.pth) or an ``encoder.safetensors``; None:
    the packaged one. It stays as it is, since others read it too, and runs once per episode. Tuning it made clicks no
    better and cost the policy categories (docs/log.md)."""
    empty_share: float = 0.75
    """Share of episodes that begin with an empty mask; the others begin with a faulty one."""
    learning_rate: float = 2e-3
    """At its peak."""
    weight_decay: float = 0.01
    """Of AdamW."""
    ema_decay: float = 0.998
    """Of the running average of weights that is kept."""
    checkpoint_seconds: float = 120.0
    """Between checkpoints."""
    log_every: int = 20
    """Steps between lines of the log."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Sizes of the network."""
