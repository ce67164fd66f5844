"""What the training stages share: a schedule by elapsed time, averaged weights, checkpoints, a log."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from segagent.core import WeightsError
from segagent.cpu import precision

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BatchT = TypeVar("BatchT", bound="DataclassInstance")


@dataclass(frozen=True)
class StageBudget:
    """How long a stage trains: until ``minutes`` of its main thread's CPU time or ``steps`` steps, whichever comes
    first; and on which ``device``.
    """

    minutes: float
    steps: int = 10**9
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    checkpoint_minutes: float = 2.0
    device: str = "cpu"


class Stage:
    """One training stage of ``network``; continues from ``folder / name.pt`` where that exists.

    The learning rate follows a half cosine over the budget used. ``average`` holds exponentially averaged
    weights. ``slower``: a part of ``network`` that learns at a share of the rate, and that share.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        folder: Path,
        budget: StageBudget,
        *,
        resume: bool,
        slower: tuple[nn.Module, float] | None = None,
    ) -> None:
        self.device = torch.device(budget.device)
        self.name, self.network, self.budget = name, network.to(self.device), budget
        self.folder = folder
        self._checkpoint = folder / f"{name}.pt"
        self._log = folder / f"{name}.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self.trained = [p for p in network.parameters() if p.requires_grad]
        groups = _groups(self.trained, 1.0)
        if slower is not None:
            part, share = slower
            slow = {id(p) for p in part.parameters()}
            groups = _groups([p for p in self.trained if id(p) not in slow], 1.0)
            groups += _groups([p for p in self.trained if id(p) in slow], share)
        self.optimizer = torch.optim.AdamW(groups, lr=budget.learning_rate, betas=(0.9, 0.98))
        self._shares = [group.pop("share") for group in self.optimizer.param_groups]
        self.average = deepcopy(network).eval().requires_grad_(False)
        self.step = 0
        self.seconds = 0.0
        self._sums: dict[str, float] = {}
        self._count = 0
        if resume and self._checkpoint.exists():
            self._load()

    @property
    def used(self) -> float:
        """Share of the budget used, 0..1."""
        return min(1.0, max(self.seconds / (60 * self.budget.minutes), self.step / self.budget.steps))

    def batches(self) -> Iterator[int]:
        """Step numbers until the budget is used up; saves now and then and at the end.

        What torch draws in a step (dropout, noise) depends on its seed when this began and on the step, so a training
        that was stopped goes on as it would have without.
        """
        last_save = self.seconds
        seed = torch.initial_seed()
        while self.used < 1:
            began = time.thread_time()
            torch.manual_seed(int(np.random.SeedSequence((seed, self.step)).generate_state(1, np.uint64)[0]))
            yield self.step
            self.seconds += time.thread_time() - began
            self.step += 1
            if self.seconds - last_save > 60 * self.budget.checkpoint_minutes:
                self.save()
                last_save = self.seconds
        self.save()

    def update(self, loss: Tensor, **measured: float) -> None:
        """One optimizer step on ``loss``; a loss that is not finite is skipped. ``measured`` goes to the log."""
        rate = self.budget.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.used)))
        rate *= min(1.0, (self.step + 1) / self.budget.warmup_steps)
        for group, share in zip(self.optimizer.param_groups, self._shares, strict=True):
            group["lr"] = rate * share
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.trained, 1.0)
        if bool(torch.isfinite(norm)):
            self.optimizer.step()
            self._update_average()
        self._count += 1
        for key, value in (measured | {"loss": float(loss.detach())}).items():
            self._sums[key] = self._sums.get(key, 0.0) + value
        if self._count == 50:
            self.log({key: round(value / self._count, 4) for key, value in self._sums.items()})
            self._sums, self._count = {}, 0

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to the stage's JSONL log."""
        line = {"step": self.step, "minutes": round(self.seconds / 60, 2), "precision": precision()} | record
        with self._log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Write the checkpoint, atomically."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        partial = self._checkpoint.with_suffix(".tmp")
        torch.save(state, partial)
        partial.rename(self._checkpoint)

    def _load(self) -> None:
        state = torch.load(self._checkpoint, map_location=self.device, weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = int(state["step"]), float(state["seconds"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise WeightsError(f"{self._checkpoint} is no checkpoint of this stage: {error}") from error

    def there(self, batch: BatchT) -> BatchT:
        """``batch`` with its tensors on the stage's device."""
        tensors = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
        return replace(batch, **{name: value.to(self.device) for name, value in tensors.items()})

    def trained_average(self) -> nn.Module:
        """The averaged weights, on the CPU."""
        return self.average.cpu()

    def _update_average(self) -> None:
        decay = min(0.998, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
            for kept, current in zip(self.average.buffers(), self.network.buffers(), strict=True):
                kept.copy_(current)


def _groups(parameters: list[nn.Parameter], share: float) -> list[dict[str, Any]]:
    """For the optimizer: those that decay and the others; ``share`` of the learning rate is theirs."""
    decayed = [p for p in parameters if p.ndim > 1]
    plain = [p for p in parameters if p.ndim <= 1]
    return [
        {"params": decayed, "weight_decay": 0.02, "share": share},
        {"params": plain, "weight_decay": 0.0, "share": share},
    ]


def put_channels_last(network: nn.Module) -> None:
    """Put the channels of the convolutions' weights last, in place: on a CPU they then take a quarter less time."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
