"""What a training of a large model does beside learning: it is measured, reported, and spread over processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from segagent.core import InputError
from segagent.datasets import Dataset

REPORTS = ("tensorboard", "wandb", "wandb-offline")


@dataclass(frozen=True, eq=False)
class Validation:
    """What a model is measured on while it is trained.

    It plays the first ``samples`` samples of ``dataset`` greedily with the tool ``tool``, as often as checkpoints are
    written. The one with the best mIoU after seven clicks becomes the model.
    """

    dataset: Dataset
    tool: str = "embedded"
    samples: int = 32

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"validation needs at least 1 sample, got {self.samples}")

    def to_dict(self) -> dict[str, Any]:
        """What decides which checkpoint is taken, JSON-ready."""
        return {"dataset": self.dataset.fingerprint, "tool": self.tool, "samples": self.samples}


@dataclass(frozen=True, eq=False)
class Extras:
    """See the module; all of it is for ``hf:`` models.

    ``report``: where figures are told besides the log, some of :data:`REPORTS`; offline stores W&B's beside the model.
    ``sharded``: weights, gradients and optimizer are spread over the processes of a launcher (FSDP), and the checkpoint
    is read by the first one only. ``deepspeed``: a file of DeepSpeed's settings.
    """

    validation: Validation | None = None
    report: tuple[str, ...] = ()
    sharded: bool = False
    deepspeed: str = ""

    def __post_init__(self) -> None:
        unknown = [name for name in self.report if name not in REPORTS]
        if unknown:
            raise InputError(f"report {unknown[0]!r:.80}: expected one of {', '.join(REPORTS)}")
        if self.sharded and self.deepspeed:
            raise InputError("weights are spread by FSDP or by DeepSpeed; choose one")
        if self.validation and (self.sharded or self.deepspeed):
            raise InputError(
                "a model whose weights are spread over processes cannot play while it is trained: leave out the "
                "validation, and evaluate what comes out"
            )

    @property
    def wanted(self) -> bool:
        """Whether there is anything."""
        return bool(self.validation or self.report or self.sharded or self.deepspeed)
