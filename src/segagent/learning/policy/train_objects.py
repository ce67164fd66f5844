"""Stage 2: name category, colour, pattern and size of an object from its crop, with imperfect outlines."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.cpu import autocast
from segagent.learning.policy.classes import CLASSES, UNKNOWN_CLASS, class_numbers
from segagent.learning.policy.loop import Stage, StageBudget, put_channels_last
from segagent.learning.policy.scene_store import SceneMix, StoredScene
from segagent.policies.detector import MASK_STRIDE, Detector
from segagent.policies.objects import CROP, NUM_GEOMETRY, Appearance, ObjectEncoder, geometry, object_crop
from segagent.policies.perception import GRID, enlarged, perceive


@dataclass(frozen=True, eq=False)
class ObjectBatch:
    """Crops (n, 7, 48, 48), geometry (n, 10) and class numbers (n, 4)."""

    crops: Tensor
    geometries: Tensor
    classes: Tensor


def worn_coverage(rng: np.random.Generator, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """``mask`` (s, s) as the detector might draw it: coarse, a little fat or lean, uneven; float32 in 0..1."""
    side = mask.shape[0]
    coarse = side // MASK_STRIDE
    share = cv2.resize(mask.astype(np.float32), (coarse, coarse), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.7:
        noise = rng.normal(0, rng.uniform(0, 0.35), (coarse // 4, coarse // 4)).astype(np.float32)
        share = share + cv2.resize(noise, (coarse, coarse)) * (cv2.blur(share, (5, 5)) > 0.02)
        share = (share - np.float32(rng.uniform(0.35, 0.65))) * np.float32(rng.uniform(1, 4)) + np.float32(0.5)
        share = np.clip(share, 0, 1)
    if share.max() <= 0.5:
        return mask.astype(np.float32)
    return np.asarray(cv2.resize(share, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)


def object_batch(rng: np.random.Generator, scenes: list[StoredScene], *, worn: bool = True) -> ObjectBatch:
    """All objects of ``scenes``; mirrored and re-lit at random and with imperfect outlines where ``worn``."""
    crops, geometries, classes = [], [], []
    for scene in scenes:
        pixels, labels = scene.pixels, scene.labels
        if worn and rng.random() < 0.5:
            pixels, labels = np.ascontiguousarray(pixels[:, ::-1]), labels[:, ::-1]
        if worn and rng.random() < 0.4:
            gain, shift = rng.uniform(0.9, 1.1), rng.uniform(-8, 8)
            pixels = np.clip(pixels * np.float32(gain) + np.float32(shift), 0, 255).astype(np.uint8)
        for number, names in enumerate(scene.names):
            mask = labels == number + 1
            coverage = worn_coverage(rng, mask) if worn else mask.astype(np.float32)
            crops.append(object_crop(pixels, coverage))
            geometries.append(geometry(coverage))
            classes.append(class_numbers(names))
    return ObjectBatch(torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(geometries)), torch.tensor(classes))


@dataclass(frozen=True, eq=False)
class FoundObjects:
    """Objects as the detector outlined them: ``crops`` uint8 (n, 4, CROP, CROP), colours and coverage;
    ``geometries`` (n, 10); ``classes`` (n, 4).
    """

    crops: npt.NDArray[np.uint8]
    geometries: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write them to ``path`` (.npz)."""
        np.savez(path, crops=self.crops, geometries=self.geometries, classes=self.classes)

    @staticmethod
    def load(path: Path) -> FoundObjects:
        """What :meth:`save` wrote."""
        with np.load(path) as arrays:
            return FoundObjects(arrays["crops"], arrays["geometries"], arrays["classes"])

    def batch(self, rng: np.random.Generator, num: int) -> ObjectBatch:
        """``num`` of them at random, half of them mirrored."""
        chosen = rng.integers(0, len(self.crops), num)
        crops = self.crops[chosen].astype(np.float32) / 127.5 - 1
        places = self.geometries[chosen].copy()
        turned = rng.random(num) < 0.5
        crops[turned] = crops[turned][..., ::-1]
        places[turned] = mirrored(places[turned])
        colours, inside = crops[:, :3], crops[:, 3:]
        stacked = np.concatenate((colours * (inside + 1) / 2, colours, inside), 1)
        return ObjectBatch(torch.from_numpy(stacked), torch.from_numpy(places), torch.from_numpy(self.classes[chosen]))


def found_objects(detector: Detector, encoder: ObjectEncoder, scenes: Iterable[StoredScene]) -> FoundObjects:
    """All objects of ``scenes`` that the detector finds, as it outlines them."""
    crops, places, classes = [], [], []
    for scene in scenes:
        percept = perceive(detector, encoder, scene.pixels)
        outlines = percept.coverage.numpy()
        for number, true in enumerate(match_objects(outlines, scene.labels, len(scene.names))):
            if true >= 0:
                crop = object_crop(scene.pixels, enlarged(outlines[number]))[3:]
                crops.append(np.clip(np.rint((crop + 1) * 127.5), 0, 255).astype(np.uint8))
                places.append(percept.geometry[number].numpy())
                classes.append(class_numbers(scene.names[int(true)]))
    return FoundObjects(
        np.array(crops, np.uint8).reshape(-1, 4, CROP, CROP),
        np.array(places, np.float32).reshape(-1, NUM_GEOMETRY),
        np.array(classes, np.int64).reshape(-1, len(CLASSES)),
    )


def match_objects(coverage: npt.NDArray[np.float32], labels: npt.NDArray[np.uint8], num: int) -> npt.NDArray[np.int64]:
    """Which of the ``num`` true objects each outline (n, GRID, GRID) is: the best by IoU above 0.35, else -1."""
    if num == 0:
        return np.full(len(coverage), -1)
    cell = labels.shape[0] // GRID
    true = np.stack(
        [(labels == k + 1).reshape(GRID, cell, GRID, cell).mean((1, 3), dtype=np.float32) for k in range(num)]
    ).reshape(num, -1)
    found = coverage.reshape(len(coverage), -1)
    overlap = found @ true.T
    union = found.sum(1)[:, None] + true.sum(1)[None] - overlap
    share = overlap / np.maximum(union, 1e-6)
    return np.where(share.max(1) > 0.35, share.argmax(1), -1).astype(np.int64)


def mirrored(geometry: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Geometry (..., NUM_GEOMETRY) of the picture mirrored left to right."""
    out = geometry.copy()
    out[..., 0] = 1 - geometry[..., 0]
    out[..., 2] = 1 - geometry[..., 4]
    out[..., 4] = 1 - geometry[..., 2]
    return out


def attribute_loss(appearance: Appearance, classes: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Sum of the four cross-entropies, and the accuracies, over the objects whose class is known."""
    loss = torch.zeros(())
    measured = {}
    for name, logits, true in zip(
        ("category", "color", "pattern", "size"), appearance.attributes, classes.T, strict=True
    ):
        known = true != UNKNOWN_CLASS
        if known.any():
            loss = loss + functional.cross_entropy(logits[known], true[known]) * known.float().mean()
            measured[name] = float((logits.argmax(1) == true)[known].float().mean())
    return loss, measured


def train_objects(
    work: Path,
    start: ObjectEncoder,
    scenes: SceneMix,
    budget: StageBudget,
    seed: int,
    *,
    resume: bool,
    found: FoundObjects | None = None,
    batch_scale: float = 1.0,
) -> ObjectEncoder:
    """Train ``start``, or what its checkpoint has come to; returns the averaged weights.

    With ``found`` four of five batches are objects as the detector outlines them.
    """
    torch.manual_seed(seed)
    stage = Stage("objects", deepcopy(start).requires_grad_(True), work, budget, resume=resume)
    network = stage.network
    put_channels_last(network)
    network.train()
    for step in stage.batches():
        rng = np.random.default_rng((seed, 2, step))
        if step % 200 == 0:
            scenes.refresh()
        if found is not None and len(found.crops) and step % 5 > 0:
            batch = found.batch(rng, max(2, round(64 * batch_scale)))
        else:
            batch = object_batch(rng, scenes.draw(rng, max(1, round(14 * batch_scale))))
        with autocast():
            appearance = network(batch.crops.contiguous(memory_format=torch.channels_last), batch.geometries)
        loss, measured = attribute_loss(appearance, batch.classes)
        stage.update(loss, **measured)
    assert isinstance(stage.average, ObjectEncoder)
    return stage.average
