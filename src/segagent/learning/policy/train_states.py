"""Stage 4: given which object is meant, correct its outline, predict the mask's IoU and click as the annotator
would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import BoolMask, iou
from segagent.cpu import autocast
from segagent.environment.annotator import next_click
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.scene_store import StoredScene
from segagent.learning.policy.train_detector import outline_loss
from segagent.learning.policy.train_objects import match_objects, worn_coverage
from segagent.policies.embedded.detector import GRID, WORKING_SIZE
from segagent.policies.embedded.perception import Percept
from segagent.policies.embedded.reading import SeenMask, see_mask, state_inputs
from segagent.policies.embedded.state_head import BINS, NUM_IOU, JudgedState, Refined, StateHead, error_depths


@dataclass(frozen=True, eq=False)
class StudiedScene:
    """A scene with its percept; ``truth[i]`` is the true object that found object i is, or -1."""

    scene: StoredScene
    percept: Percept
    truth: npt.NDArray[np.int64]

    @staticmethod
    def of(scene: StoredScene, percept: Percept) -> StudiedScene:
        """Match what was found with what is there. Where nothing fits, the surest object passes for the first."""
        truth = match_objects(percept.coverage.numpy(), scene.labels, len(scene.names))
        if (truth < 0).all():
            truth[0] = 0
        return StudiedScene(scene, percept, truth)


@dataclass(frozen=True, eq=False)
class MaskState:
    """A mask seen in an episode about object ``target`` of scene number ``scene``."""

    scene: int
    target: int
    mask: BoolMask


def made_up_mask(rng: np.random.Generator, scene: StoredScene, target: int) -> BoolMask:
    """A mask as a tool might make it around object ``target``: empty, worn, partial, spilt, merged or on
    another object.
    """
    kind = rng.random()
    true = scene.mask(target)
    if kind < 0.08:
        return np.zeros_like(true)
    base = true
    if kind < 0.25:
        other = int(rng.integers(len(scene.names)))
        base = scene.mask(other) if rng.random() < 0.5 else true | scene.mask(other)
    mask = worn_coverage(rng, base) > 0.5
    if rng.random() < 0.35:
        mask &= _half_plane(rng, base)
    if rng.random() < 0.4:
        mask |= _blob(rng, true, near=rng.random() < 0.6)
    if rng.random() < 0.3:
        mask &= ~_blob(rng, true, near=True)
    if rng.random() < 0.25:
        size = int(rng.integers(1, 6)) * 2 + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        grow = cv2.dilate if rng.random() < 0.5 else cv2.erode
        mask = grow(mask.astype(np.uint8), kernel) > 0
    return np.asarray(mask, np.bool_)


def _half_plane(rng: np.random.Generator, mask: BoolMask) -> BoolMask:
    """Everything to one side of a line through a random pixel of ``mask``."""
    rows, columns = np.nonzero(mask)
    at = int(rng.integers(rows.size))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    side: BoolMask = (x - columns[at]) * np.cos(angle) + (y - rows[at]) * np.sin(angle) > 0
    return side


def _blob(rng: np.random.Generator, mask: BoolMask, *, near: bool) -> BoolMask:
    """A turned ellipse, about a pixel of ``mask`` or anywhere."""
    canvas = np.zeros(mask.shape, np.uint8)
    rows, columns = np.nonzero(mask)
    at = int(rng.integers(rows.size))
    extent = max(6.0, float(np.sqrt(rows.size)))
    centre = (int(columns[at]), int(rows[at])) if near else tuple(int(v) for v in rng.integers(0, WORKING_SIZE, 2))
    axes = tuple(max(2, int(v)) for v in rng.uniform(0.1, 0.6, 2) * extent)
    cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return canvas > 0


@dataclass(frozen=True, eq=False)
class StateBatch:
    """Rows of (mask, hypothesis) with the truth for that hypothesis; ``click`` bool (n,): whether there is one
    to make.
    """

    inputs: Tensor
    outlines: Tensor
    seen: list[SeenMask]
    coverage: Tensor
    iou: Tensor
    click: Tensor
    positive: Tensor
    place: Tensor


def state_batch(rows: Sequence[tuple[StudiedScene, BoolMask, int]]) -> StateBatch:
    """``rows`` are (scene, mask, number of the found object taken as meant); that object must be matched to a
    true one.
    """
    inputs, outlines, seen, coverage, ious, clicks = [], [], [], [], [], []
    for studied, mask, hypothesis in rows:
        look = see_mask(studied.percept, mask)
        channels, outline = state_inputs(studied.percept, look, [hypothesis])
        true = studied.scene.mask(int(studied.truth[hypothesis]))
        share = true.reshape(GRID, WORKING_SIZE // GRID, GRID, WORKING_SIZE // GRID).mean((1, 3), dtype=np.float32)
        click = next_click(mask, true)
        scale = WORKING_SIZE // BINS
        inputs.append(channels)
        outlines.append(outline)
        seen.append(look)
        coverage.append(share)
        ious.append(iou(mask, true))
        clicks.append((0, 0, 0) if click is None else (1 + click.positive, click.x // scale, click.y // scale))
    table = torch.tensor(clicks)
    return StateBatch(
        torch.cat(inputs),
        torch.cat(outlines),
        seen,
        torch.from_numpy(np.stack(coverage)),
        torch.tensor(ious, dtype=torch.float32),
        table[:, 0] > 0,
        table[:, 0] == 2,
        table[:, 2] * BINS + table[:, 1],
    )


def soft_iou_labels(ious: Tensor, spread: float = 1.5) -> Tensor:
    """(n,) in 0..1 -> (n, 101) rows summing to 1, bell-shaped about the true percent."""
    bins = torch.arange(NUM_IOU, dtype=torch.float32)
    weights = torch.exp(-((bins[None] - 100 * ious[:, None]) ** 2) / (2 * spread**2))
    return weights / weights.sum(1, keepdim=True)


def state_loss(
    refined: Refined, judged: JudgedState, batch: StateBatch, *, outline_weight: float = 1.0
) -> tuple[Tensor, dict[str, float]]:
    """Outline, sign, place and IoU together, and how well each is met (place error in working pixels).

    Sign, place and IoU are the negative log-likelihood of the reply's tokens, weighed; the outline is no part of the
    reply, only a help.
    """
    drawn, outline_iou = outline_loss(refined.target, batch.coverage)
    made = batch.click.float()
    count = made.sum().clamp(min=1)
    sign = functional.binary_cross_entropy_with_logits(judged.sign, batch.positive.float(), reduction="none")
    rows = torch.arange(len(made))
    maps = judged.place[rows, (~batch.positive).long()].flatten(1)
    place = functional.cross_entropy(maps, batch.place, reduction="none")
    said = -(soft_iou_labels(batch.iou) * judged.iou.log_softmax(1)).sum(1).mean()
    loss = outline_weight * drawn + (sign * made).sum() / count + 0.4 * (place * made).sum() / count + 0.5 * said
    best = maps.argmax(1)
    error = torch.hypot((best % BINS - batch.place % BINS).float(), (best // BINS - batch.place // BINS).float())
    mean = judged.iou.softmax(1) @ (torch.arange(NUM_IOU) / (NUM_IOU - 1))
    return loss, {
        "outline_iou": outline_iou,
        "sign": float((((judged.sign > 0) == batch.positive) * made).sum() / count),
        "place_px": float((error * made).sum() / count) * WORKING_SIZE / BINS,
        "iou_mae": float((mean.detach() - batch.iou).abs().mean()),
    }


def judge(network: StateHead, batch: StateBatch) -> tuple[Refined, JudgedState]:
    """The state head on a batch, both halves."""
    with autocast():
        refined = network.refine(batch.inputs, batch.outlines)
    outlines = refined.target.detach().sigmoid().numpy()
    depths = np.stack([error_depths(o, s.bins) for o, s in zip(outlines, batch.seen, strict=True)])
    masks = torch.from_numpy(np.stack([s.grid for s in batch.seen]))
    return refined, network.decide(refined, masks, torch.from_numpy(depths))


def draw_rows(
    rng: np.random.Generator, studied: Sequence[StudiedScene], states: Sequence[MaskState], num: int, made_up: float
) -> list[tuple[StudiedScene, BoolMask, int]]:
    """``num`` training rows: a share ``made_up`` of invented masks, the rest from ``states``."""
    rows: list[tuple[StudiedScene, BoolMask, int]] = []
    while len(rows) < num:
        if not states or rng.random() < made_up:
            one = studied[int(rng.integers(len(studied)))]
            target = int(rng.integers(len(one.scene.names)))
            mask = made_up_mask(rng, one.scene, target)
        else:
            state = states[int(rng.integers(len(states)))]
            one, target, mask = studied[state.scene], state.target, state.mask
        right = np.flatnonzero(one.truth == target)
        if right.size == 0 or rng.random() < 0.2:
            right = np.flatnonzero(one.truth >= 0)
        if right.size:
            rows.append((one, mask, int(right[int(rng.integers(right.size))])))
    return rows


def train_states(
    work: Path,
    studied: Sequence[StudiedScene],
    states: Sequence[MaskState],
    budget: StageBudget,
    seed: int,
    *,
    made_up: float,
    resume: bool,
    batch_scale: float = 1.0,
) -> StateHead:
    """Train, or continue to train, the state head; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("states", StateHead(), work, budget, resume=resume)
    network = stage.network
    assert isinstance(network, StateHead)
    network.train()
    for step in stage.batches():
        rng = np.random.default_rng((seed, 4, step))
        batch = state_batch(draw_rows(rng, studied, states, max(2, round(24 * batch_scale)), made_up))
        loss, measured = state_loss(*judge(network, batch), batch)
        stage.update(loss, **measured)
    assert isinstance(stage.average, StateHead)
    return stage.average
