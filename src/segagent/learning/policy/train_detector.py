"""Stage 1: find and outline all objects. Most pictures are crops at native scale, which cost a quarter each."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.cpu import autocast
from segagent.learning.policy.loop import Stage, StageBudget, put_channels_last
from segagent.learning.policy.scene_store import NOT_ASKED, SceneMix, StoredScene
from segagent.policies.embedded.detector import CENTRE_STRIDE, MASK_STRIDE, WORKING_SIZE, Detector, draw_outlines
from segagent.vision.sight import Sight

_SMALLEST = 24
"""Objects with fewer visible pixels in the crop are not asked for."""


@dataclass(frozen=True, eq=False)
class DetectionBatch:
    """Pictures uint8 (b, s, s, 3); centre map (b, s/8, s/8) and where it counts, bool of the same shape; and flat over
    all objects of the batch: the picture each is in, its centre cell (row, column), and its coverage (n, s/4, s/4) in
    0..1.
    """

    pictures: npt.NDArray[np.uint8]
    centres: Tensor
    asked: Tensor
    picture_of: Tensor
    cells: Tensor
    coverage: Tensor


def _crop(
    rng: np.random.Generator, scene: StoredScene, side: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    top, left = rng.integers(0, WORKING_SIZE - side + 1, 2)
    pixels = scene.pixels[top : top + side, left : left + side]
    labels = scene.labels[top : top + side, left : left + side]
    if rng.random() < 0.5:
        pixels, labels = pixels[:, ::-1], labels[:, ::-1]
    if rng.random() < 0.25:
        pixels, labels = pixels[::-1], labels[::-1]
    if rng.random() < 0.4:
        gain, shift = rng.uniform(0.85, 1.15), rng.uniform(-12, 12)
        pixels = np.clip(pixels * np.float32(gain) + np.float32(shift), 0, 255).astype(np.uint8)
    return pixels, labels


def detection_batch(rng: np.random.Generator, scenes: list[StoredScene], side: int) -> DetectionBatch:
    """One batch, a crop of ``side`` pixels per scene."""
    cells, grid = side // CENTRE_STRIDE, side // MASK_STRIDE
    pictures = np.empty((len(scenes), side, side, 3), np.uint8)
    centres = np.zeros((len(scenes), cells, cells), np.float32)
    asked = np.ones((len(scenes), cells, cells), np.bool_)
    picture_of: list[int] = []
    places: list[tuple[int, int]] = []
    coverage: list[npt.NDArray[np.float32]] = []
    axis = np.arange(cells, dtype=np.float32)
    for number, scene in enumerate(scenes):
        pictures[number], labels = _crop(rng, scene, side)
        for label in np.unique(labels):
            if label == 0:
                continue
            mask = labels == label
            if label == NOT_ASKED:
                asked[number] = ~mask.reshape(cells, CENTRE_STRIDE, cells, CENTRE_STRIDE).any((1, 3))
                continue
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            if np.count_nonzero(mask) < _SMALLEST:
                continue
            cy, cx = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
            row, column = int(cy // CENTRE_STRIDE), int(cx // CENTRE_STRIDE)
            extent = np.sqrt((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)) / CENTRE_STRIDE
            spread = float(np.clip(extent * 0.12, 0.6, 2.0))
            bump = np.exp(-((axis - row) ** 2) / (2 * spread**2))[:, None] * np.exp(
                -((axis - column) ** 2) / (2 * spread**2)
            )
            np.maximum(centres[number], bump, out=centres[number])
            picture_of.append(number)
            places.append((row, column))
            share = mask.reshape(grid, MASK_STRIDE, grid, MASK_STRIDE).mean((1, 3), dtype=np.float32)
            coverage.append(share)
    stacked = np.stack(coverage) if coverage else np.zeros((0, grid, grid), np.float32)
    return DetectionBatch(
        pictures,
        torch.from_numpy(centres),
        torch.from_numpy(asked),
        torch.tensor(picture_of, dtype=torch.long),
        torch.tensor(places, dtype=torch.long).view(-1, 2),
        torch.from_numpy(stacked),
    )


def centre_loss(logits: Tensor, target: Tensor, asked: Tensor) -> Tensor:
    """Penalty-reduced focal loss of a centre map, per object (float32 inputs of one shape); a miss counts only where
    ``asked`` (bool).
    """
    probability = logits.sigmoid()
    peak = target > 0.999
    hit = -functional.logsigmoid(logits) * (1 - probability) ** 2
    miss = -functional.logsigmoid(-logits) * probability**2 * (1 - target) ** 4 * asked
    return torch.where(peak, hit, miss).sum() / peak.sum().clamp(min=1)


def outline_loss(logits: Tensor, coverage: Tensor) -> tuple[Tensor, float]:
    """Dice plus cross-entropy, averaged over objects so that small ones count as much; and the mean hard IoU."""
    probability = logits.sigmoid()
    overlap = (probability * coverage).sum((1, 2))
    dice = 1 - (2 * overlap + 1) / ((probability**2).sum((1, 2)) + (coverage**2).sum((1, 2)) + 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, coverage, reduction="none")
    area = coverage.sum((1, 2)).clamp(min=4)
    entropy_per_object = entropy.sum((1, 2)) / (8 * area)
    hard, true = logits.detach() > 0, coverage > 0.5
    iou = (hard & true).sum((1, 2)) / (hard | true).sum((1, 2)).clamp(min=1)
    return (dice + entropy_per_object).mean(), float(iou.mean())


def train_detector(
    work: Path,
    start: Detector,
    scenes: SceneMix,
    budget: StageBudget,
    seed: int,
    *,
    resume: bool,
    sight: Sight,
    batch_scale: float = 1.0,
) -> Detector:
    """Train ``start``, or what its checkpoint has come to, over what ``sight`` sees; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("detector", deepcopy(start).requires_grad_(True), work, budget, resume=resume)
    network, sight = stage.network, sight.on(stage.device)
    put_channels_last(network)
    network.train()
    for step in stage.batches():
        rng = np.random.default_rng((seed, 1, step))
        if step % 200 == 0:
            scenes.refresh()
        whole = stage.used > 0.75 or rng.random() < 0.4
        side, size = (WORKING_SIZE, 8) if whole else (WORKING_SIZE // 2, 24)
        size = max(2, round(size * batch_scale))
        batch = stage.there(detection_batch(rng, scenes.draw(rng, size), side))
        jitter = torch.from_numpy(
            rng.integers(-1, 2, (len(batch.cells), 2)) * (rng.random((len(batch.cells), 1)) < 0.4)
        )
        cells = (batch.cells + jitter.to(stage.device)).clamp(0, side // CENTRE_STRIDE - 1)
        with autocast(stage.device.type):
            features = network(sight.views(batch.pictures))
            kernels = features.kernels[batch.picture_of, :, cells[:, 0], cells[:, 1]]
        places = (cells.flip(1).float() + 0.5) * CENTRE_STRIDE
        outlines = draw_outlines(features.masks.float()[batch.picture_of], kernels.float(), places)
        found = centre_loss(features.centres.float(), batch.centres, batch.asked)
        drawn, iou = outline_loss(outlines, batch.coverage)
        stage.update(found + drawn, centre=float(found.detach()), outline=float(drawn.detach()), iou=iou)
    average = stage.trained_average()
    assert isinstance(average, Detector)
    return average
