"""How good a mask is without words: learnt from masks that are made wrong on purpose, by a tool, or not at all."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from scipy.stats import mannwhitneyu
from torch import Tensor
from torch.nn import functional

from segagent.core import SegmentationTool
from segagent.cpu import autocast
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.masks_to_judge import Looks, Things, draw_looks
from segagent.learning.policy.train_detector import outline_loss
from segagent.learning.policy.train_states import soft_iou_labels
from segagent.policies.embedded.quality import Quality, QualityNet
from segagent.policies.embedded.state_head import NUM_IOU
from segagent.vision.encoder import Pyramid
from segagent.vision.sight import Sight

_SHARD = 250
_BATCH = 48
_APART = 0.1
_STEEP = 10.0


def cached_looks(
    folder: Path,
    sight: Sight,
    things: Things,
    num: int,
    *,
    tool: SegmentationTool | None,
    clicked_share: float,
    seed: tuple[int, ...],
    resume: bool,
) -> Looks:
    """``num`` looks, at least 1, kept in ``folder``; with ``resume`` what is there already is not drawn again."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"looks_{number}.npz" for number in range(-(-num // _SHARD))]
    for number, path in enumerate(paths):
        if not (resume and path.exists()):
            rng = np.random.default_rng((*seed, number))
            count = min(_SHARD, num - number * _SHARD)
            Looks.joined(list(draw_looks(rng, sight, things, count, tool, clicked_share))).save(path)
    return Looks.joined([Looks.load(path) for path in paths])


def mean_iou(logits: Tensor) -> Tensor:
    """(n, NUM_IOU) logits -> (n,) means in 0..1."""
    return logits.softmax(1) @ (torch.arange(NUM_IOU, dtype=torch.float32) / (NUM_IOU - 1))


def correlation(said: Tensor, true: Tensor) -> float:
    """Pearson's, rounded; 0 where all of either are equal."""
    value = float(torch.corrcoef(torch.stack((said, true)))[0, 1]) if len(true) > 1 else 0.0
    return round(value, 4) if math.isfinite(value) else 0.0


def ranking_loss(said: Tensor, true: Tensor) -> Tensor:
    """How often of two masks the worse one is said to be better; ``said`` and ``true`` (n,) in 0..1, all pairs."""
    apart = true[:, None] - true[None, :]
    pairs = apart > _APART
    return functional.softplus(-_STEEP * (said[:, None] - said[None, :]))[pairs].sum() / pairs.sum().clamp(min=1)


def _rows(looks: Looks) -> Tensor:
    """(n, 2) look and place of each mask."""
    return torch.from_numpy(np.argwhere(np.isfinite(looks.iou)))


def _batch(looks: Looks, rows: Tensor) -> tuple[Pyramid, Tensor, Tensor, Tensor]:
    """Features, masks, true masks and IoU of some rows."""
    look, place = rows.T.numpy()
    levels = [torch.from_numpy(level[look]).float() for level in looks.features]
    masks, true = (torch.from_numpy(maps[look, place]).float() / 255 for maps in (looks.masks, looks.true))
    return Pyramid(torch.empty(0), *levels), masks, true, torch.from_numpy(looks.iou[look, place])


def quality_loss(answer: Quality, true: Tensor, ious: Tensor) -> tuple[Tensor, dict[str, float]]:
    """The new outline, the IoU and the order of the masks together."""
    drawn, outline_iou = outline_loss(answer.outline, true)
    logits = answer.iou.float()
    said = -(soft_iou_labels(ious, 3.0) * logits.log_softmax(1)).sum(1).mean()
    means = mean_iou(logits)
    loss = drawn + 0.3 * said + 0.5 * ranking_loss(means, ious)
    return loss, {"outline_iou": outline_iou, "mae": float((means.detach() - ious).abs().mean())}


def _batches(looks: Looks, seed: int, step: int) -> Tensor:
    """Masks of a dozen looks, so that those of one look are compared with each other."""
    rng = np.random.default_rng((seed, 8, step))
    picked = rng.choice(len(looks.iou), min(_BATCH // 3, len(looks.iou)), replace=False)
    rows = np.argwhere(np.isfinite(looks.iou[picked]))
    return torch.from_numpy(np.stack((picked[rows[:, 0]], rows[:, 1]), 1))


def train_quality(
    work: Path, looks: Looks, held_out: Looks | None, budget: StageBudget, seed: int, *, resume: bool
) -> QualityNet:
    """Train, or continue to train, the quality network on looks; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("quality", QualityNet(), work, budget, resume=resume)
    for step in stage.batches():
        stage.network.train()
        features, masks, true, ious = _batch(looks, _batches(looks, seed, step))
        with autocast():
            answer = stage.network(features, masks)
        loss, measured = quality_loss(answer, true, ious)
        stage.update(loss, **measured)
    assert isinstance(stage.average, QualityNet)
    if held_out is not None:
        stage.log({"val": quality_of(stage.average, held_out)})
    return stage.average


@torch.no_grad()
def quality_of(network: QualityNet, looks: Looks) -> dict[str, float]:
    """On masks not trained on: Pearson correlation and mean absolute error of the predicted IoU, and the AUROC of masks
    below an IoU of 0.9 against true ones.
    """
    said, true = [], []
    for rows in torch.split(_rows(looks), 64):
        features, masks, _, ious = _batch(looks, rows)
        said.append(mean_iou(network(features, masks).iou))
        true.append(ious)
    means, ious = torch.cat(said), torch.cat(true)
    wrong, right = means[ious < 0.9].numpy(), means[ious == 1].numpy()
    pairs = len(wrong) * len(right)
    return {
        "r": correlation(means, ious),
        "mae": round(float((means - ious).abs().mean()), 4),
        "auroc": round(float(mannwhitneyu(right, wrong).statistic) / pairs, 4) if pairs else 0.5,
    }
