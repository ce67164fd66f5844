"""Stage 2: name category, colour, pattern and size of an object from all that is seen of it, imperfect outlines."""

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

from segagent.core import Image
from segagent.cpu import autocast
from segagent.learning.policy.classes import CLASSES, UNKNOWN_CLASS, class_numbers
from segagent.learning.policy.loop import Stage, StageBudget, put_channels_last
from segagent.policies.embedded.detector import GRID, MASK_STRIDE
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.objects import CROP, NUM_GEOMETRY, Appearance, ObjectEncoder, geometry, object_crop
from segagent.policies.embedded.perception import enlarged, find_objects, working_pixels
from segagent.policies.embedded.regions import NUM_SEEN, scenery, see_regions


@dataclass(frozen=True, eq=False)
class ObjectBatch:
    """Crops (n, 7, 48, 48), geometry (n, 10), the encoder's features (n, NUM_SEEN) and class numbers (n, 4)."""

    crops: Tensor
    geometries: Tensor
    seen: Tensor
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


@dataclass(frozen=True, eq=False)
class AnnotatedPicture:
    """A picture whose objects are known: ``labels`` uint8 (256, 256) with object i drawn as i + 1, and ``names`` of
    each as (category, color, pattern, size), empty where unknown.
    """

    image: Image
    labels: npt.NDArray[np.uint8]
    names: tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, eq=False)
class KnownObjects:
    """Objects as the network sees them: ``crops`` uint8 (n, 4, CROP, CROP), colours and coverage; ``geometries``
    (n, 10); ``seen`` float16 (n, NUM_SEEN); ``classes`` (n, 4).
    """

    crops: npt.NDArray[np.uint8]
    geometries: npt.NDArray[np.float32]
    seen: npt.NDArray[np.float16]
    classes: npt.NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write them to ``path`` (.npz)."""
        np.savez(path, crops=self.crops, geometries=self.geometries, seen=self.seen, classes=self.classes)

    @staticmethod
    def load(path: Path) -> KnownObjects:
        """What :meth:`save` wrote."""
        with np.load(path) as arrays:
            return KnownObjects(arrays["crops"], arrays["geometries"], arrays["seen"], arrays["classes"])

    def chances(self) -> npt.NDArray[np.float64]:
        """How likely each is drawn: of two categories the commoner one more often, by the square root."""
        categories = self.classes[:, 0] - min(UNKNOWN_CLASS, 0)
        weights = np.bincount(categories)[categories] ** -0.5
        return np.asarray(weights / weights.sum(), np.float64)

    def batch(self, rng: np.random.Generator, chosen: npt.NDArray[np.int64], *, augment: bool) -> ObjectBatch:
        """Those ``chosen``; half of them mirrored where ``augment``."""
        crops = self.crops[chosen].astype(np.float32) / 127.5 - 1
        places = self.geometries[chosen].copy()
        if augment:
            turned = rng.random(len(chosen)) < 0.5
            crops[turned] = crops[turned][..., ::-1]
            places[turned] = mirrored(places[turned])
        colours, inside = crops[:, :3], crops[:, 3:]
        stacked = np.concatenate((colours * (inside + 1) / 2, colours, inside), 1)
        return ObjectBatch(
            torch.from_numpy(stacked),
            torch.from_numpy(places),
            torch.from_numpy(self.seen[chosen].astype(np.float32)),
            torch.from_numpy(self.classes[chosen]),
        )


def known_objects(
    network: PolicyNetwork, pictures: Iterable[AnnotatedPicture], rng: np.random.Generator, *, worn: bool = True
) -> KnownObjects:
    """All objects of ``pictures`` as they are seen: half of those that the detector finds by its outline, the others by
    their own, made imperfect. Without ``worn``, all by their own as it is.
    """
    crops, places, seen, classes = [], [], [], []
    for picture in pictures:
        pixels = working_pixels(picture.image.pixels)
        coverages = {}
        for number in range(len(picture.names)):
            mask = picture.labels == number + 1
            coverages[number] = worn_coverage(rng, mask) if worn else mask.astype(np.float32)
        if worn:
            outlines = find_objects(network, picture.image).coverage.numpy()
            for outline, true in zip(
                outlines, match_objects(outlines, picture.labels, len(picture.names)), strict=True
            ):
                if true >= 0 and rng.random() < 0.5:
                    coverages[int(true)] = enlarged(outline)
        if not coverages:
            continue
        assert network.sight is not None
        with autocast():
            looked = see_regions(network.sight, scenery(network.sight, picture.image), list(coverages.values()))
        for (number, coverage), features in zip(coverages.items(), looked, strict=True):
            crop = object_crop(pixels, coverage)[3:]
            crops.append(np.clip(np.rint((crop + 1) * 127.5), 0, 255).astype(np.uint8))
            places.append(geometry(coverage))
            seen.append(features.numpy().astype(np.float16))
            classes.append(class_numbers(picture.names[number]))
    return KnownObjects(
        np.array(crops, np.uint8).reshape(-1, 4, CROP, CROP),
        np.array(places, np.float32).reshape(-1, NUM_GEOMETRY),
        np.array(seen, np.float16).reshape(-1, NUM_SEEN),
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
    loss = torch.zeros((), device=classes.device)
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
    objects: KnownObjects,
    budget: StageBudget,
    seed: int,
    *,
    resume: bool,
    batch_scale: float = 1.0,
) -> ObjectEncoder:
    """Train ``start``, or what its checkpoint has come to; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("objects", deepcopy(start).requires_grad_(True), work, budget, resume=resume)
    network = stage.network
    put_channels_last(network)
    network.train()
    chances = objects.chances()
    for step in stage.batches():
        rng = np.random.default_rng((seed, 2, step))
        chosen = rng.choice(len(chances), max(2, round(128 * batch_scale)), p=chances)
        batch = stage.there(objects.batch(rng, chosen, augment=True))
        crops = batch.crops.contiguous(memory_format=torch.channels_last)
        with autocast(stage.device.type):
            appearance = network(crops, batch.geometries, batch.seen)
        loss, measured = attribute_loss(appearance, batch.classes)
        stage.update(loss, **measured)
    average = stage.trained_average()
    assert isinstance(average, ObjectEncoder)
    return average
