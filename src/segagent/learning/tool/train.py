"""The recipe: simulated clicks, one network step per click, learning rate and view size by the spent budget."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import InputError
from segagent.cpu import autocast, precision, usable_device
from segagent.learning.tool.config import ToolTraining
from segagent.learning.tool.episodes import Batch, EpisodePool
from segagent.learning.tool.sources import training_source
from segagent.learning.tool.workers import EpisodeWorkers
from segagent.vision.click_network import ClickNetwork
from segagent.vision.click_weights import save_network
from segagent.vision.encoder import Pyramid
from segagent.vision.sight import sight_for_training


@dataclass(frozen=True, slots=True)
class TrainedTool:
    """What training came to: the weights file, steps and seconds over all resumptions, the latest mean loss."""

    weights: Path
    steps: int
    seconds: float
    loss: float


def train_tool(
    config: ToolTraining,
    out: Path,
    *,
    resume: bool = True,
    report: Callable[[dict[str, float]], None] | None = None,
) -> TrainedTool:
    """Train the embedded click tool in the folder ``out``.

    Writes ``checkpoint.pt`` (all that resuming needs), ``log.jsonl`` (a line per ``log_every`` steps) and the averaged
    model's weights ``tool.safetensors`` with ``tool.json``, every ``checkpoint_seconds`` and at the end; and
    ``encoder.safetensors`` where it is not the packaged one.
    With ``resume`` an existing checkpoint is continued; the data stream then goes on from a new random state.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    run = _Run(config, out)
    if resume and (out / "checkpoint.pt").is_file():
        run.load()
    run.train(report)
    return TrainedTool(out / "tool.safetensors", run.step, run.seconds, run.loss)


class _Run:
    """The state of one training: model, average, optimiser, counters."""

    def __init__(self, config: ToolTraining, out: Path) -> None:
        self.config, self.out = config, out
        self.device = usable_device(config.device)
        self.sight = sight_for_training(config.encoder, out).on(self.device)
        self.network = ClickNetwork(config.network)
        self.network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = ClickNetwork(config.network).to(self.device)
        self.average.load_state_dict(self.network.state_dict())
        parameters = list(self.network.parameters())
        groups: list[dict[str, Any]] = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimiser = torch.optim.AdamW(groups, config.learning_rate, weight_decay=config.weight_decay)
        self.kept: list[Tensor] = []
        self.step, self.seconds, self.loss = 0, 0.0, math.nan

    def load(self) -> None:
        path = self.out / "checkpoint.pt"
        try:
            saved = cast(dict[str, Any], torch.load(path, map_location=self.device, weights_only=True))
            self.network.load_state_dict(saved["network"])
            self.average.load_state_dict(saved["average"])
            self.optimiser.load_state_dict(saved["optimiser"])
        except (RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{path}: not a checkpoint of this training; move it away ({reason})") from error
        self.step, self.seconds, self.loss = int(saved["step"]), float(saved["seconds"]), float(saved["loss"])

    def save(self) -> None:
        partial = self.out / "checkpoint.partial"
        torch.save(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "seconds": self.seconds,
                "loss": self.loss,
            },
            partial,
        )
        partial.replace(self.out / "checkpoint.pt")
        description = {
            "training": {k: v for k, v in _plain(self.config).items() if k != "network"},
            "steps": self.step,
            "seconds": round(self.seconds, 1),
            "torch": torch.__version__,
            "precision": precision(),
        }
        description["encoder"] = self.sight.fingerprint
        save_network(self.average, self.out / "tool.safetensors", description, self.config.side)

    def progress(self) -> float:
        if self.config.steps is not None:
            return self.step / max(self.config.steps, 1)
        return self.seconds / (60 * self.config.minutes)

    def train(self, report: Callable[[dict[str, float]], None] | None) -> None:
        config = self.config
        # The step is part of the seed, so a resumed training does not see the same pictures again.
        seed = (config.seed, self.step)
        pool: EpisodePool | EpisodeWorkers | None = None
        side = 0
        losses: list[float] = []
        scores: list[tuple[int, float]] = []
        last_save = time.monotonic()
        self.network.train()
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log, ExitStack() as closing:
            while (progress := self.progress()) < 1:
                began = time.monotonic()
                wanted = config.small_side if progress < config.small_fraction else config.side
                if pool is None or wanted != side:
                    side = wanted
                    closing.close()
                    pool = _episodes(config, side, seed, closing)
                loss, probabilities = self._learn(pool.advance(), progress)
                scores += pool.answer(probabilities)
                losses.append(loss)
                self.step += 1
                self.seconds += time.monotonic() - began
                if self.step % config.log_every == 0:
                    self.loss = float(np.mean(losses))
                    line = {"step": self.step, "seconds": round(self.seconds, 1), "side": side, "loss": self.loss}
                    line |= _by_click(scores)
                    log.write(json.dumps(line | {"precision": precision()}) + "\n")
                    log.flush()
                    if report is not None:
                        report(line)
                    losses, scores = [], []
                if time.monotonic() - last_save > config.checkpoint_seconds:
                    self.save()
                    last_save = time.monotonic()
        if losses:
            self.loss = float(np.mean(losses))
        self.save()

    def _learn(self, batch: Batch, progress: float) -> tuple[float, np.ndarray[Any, np.dtype[np.float32]]]:
        warm_up = min((self.step + 1) / 100, 1.0)
        rate = self.config.learning_rate * warm_up * max(0.5 * (1 + math.cos(math.pi * progress)), 0.01)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with autocast(self.device.type):
            features = self.network.trunk(self._pyramid(batch))
            fine, evidence = self._there(batch.fine), self._there(batch.evidence)
            logits: Tensor = self.network.click(features, _last(fine), _last(evidence)).float()
        loss = mask_loss(logits, self._there(batch.targets))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        # Early on a short average follows the fast changes; later a long one smooths.
        decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mine, new in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mine.is_floating_point():
                    mine.lerp_(new, 1 - decay)
        return float(loss.detach()), logits.detach().sigmoid().cpu().numpy()

    def _pyramid(self, batch: Batch) -> Pyramid:
        """Features of the batch's pictures; only those that were not there a step ago are looked at."""
        if batch.fresh:
            new = self.sight.views(batch.pixels[batch.fresh])
            if len(batch.fresh) == len(batch.pixels):
                self.kept = list(new)
            else:
                for kept, part in zip(self.kept, new, strict=True):
                    kept[batch.fresh] = part
        return Pyramid(*self.kept)

    def _there(self, values: np.ndarray[Any, np.dtype[Any]]) -> Tensor:
        return torch.from_numpy(values).to(self.device)


def _episodes(config: ToolTraining, side: int, seed: Sequence[int], closing: ExitStack) -> EpisodePool | EpisodeWorkers:
    """The episodes of views of ``side`` pixels, here or in processes of their own that ``closing`` ends."""
    if config.workers:
        return closing.enter_context(EpisodeWorkers(config, side, seed))
    rng = np.random.default_rng(seed)
    return EpisodePool(training_source(config), rng, config.batch, side, config.empty_share)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _by_click(scores: list[tuple[int, float]]) -> dict[str, float]:
    result = {}
    for click in (1, 2, 3, 5):
        chosen = [score for clicks, score in scores if clicks == click]
        if chosen:
            result[f"iou@{click}"] = round(float(np.mean(chosen)), 4)
    return result


def _plain(config: ToolTraining) -> dict[str, Any]:
    # Only names: where folders lay on the training machine is nobody else's business.
    values = dataclasses.asdict(config) | {"photographs": [folder.name for folder in config.photographs]}
    return {key: value.name if isinstance(value, Path) else value for key, value in values.items()}


def mask_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of cross-entropy + normalised focal + soft IoU loss, a scalar.

    ``logits`` and ``target`` (0 or 1) are (batch, side, side) float. Cross-entropy calibrates, the focal term keeps
    hard pixels alive, and the soft IoU gives a small object the weight of a large one.
    """
    entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = logits.sigmoid()
    wrong = (probability - target).abs() ** 2
    # Dividing by the batch item's own focal weight keeps the gradient from vanishing as the item gets easy.
    focal = (wrong * entropy).sum((1, 2)) / wrong.detach().sum((1, 2)).clamp_min(1.0)
    overlap = (probability * target).sum((1, 2))
    union = (probability + target - probability * target).sum((1, 2))
    soft_iou = 1 - (overlap + 1) / (union + 1)
    return (entropy.mean((1, 2)) + 0.5 * focal + soft_iou).mean()
