"""From a picture to its objects, once per picture: detect, outline, crop, describe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import Image, Pixels
from segagent.cpu import autocast
from segagent.policies.embedded.detector import CENTRE_STRIDE, WORKING_SIZE, draw_outlines
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.objects import Soft, geometry, object_crop
from segagent.policies.embedded.regions import Scenery, scenery, see_regions

MAX_OBJECTS = 12


@dataclass(frozen=True, eq=False)
class Percept:
    """What is known of one picture before any word or mask. n objects, 1 <= n <= MAX_OBJECTS, the surest first.

    ``scenery`` is what regions are looked at in, None where the network has no encoder; ``pixels`` uint8 (256, 256, 3);
    ``features`` (16, GRID, GRID) mask features; ``coverage`` (n, GRID, GRID) in 0..1; ``tokens`` (n, EMBEDDING +
    attributes), where the grounding sees with NUM_SEEN features of the encoder behind; ``geometry`` (n, NUM_GEOMETRY);
    ``certainty`` (n,) in 0..1; ``kinds`` (n, NUM_KINDS) log-probabilities, None where the network tells no kinds.
    """

    scenery: Scenery | None
    pixels: Pixels
    features: Tensor
    coverage: Tensor
    tokens: Tensor
    geometry: Tensor
    certainty: Tensor
    kinds: Tensor | None = None


def working_pixels(pixels: Pixels) -> Pixels:
    """Any picture as uint8 (256, 256, 3); its aspect ratio is given up."""
    if pixels.shape[:2] == (WORKING_SIZE, WORKING_SIZE):
        return np.ascontiguousarray(pixels)
    shrinks = pixels.shape[0] > WORKING_SIZE or pixels.shape[1] > WORKING_SIZE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(pixels), (WORKING_SIZE, WORKING_SIZE), interpolation=method)
    return np.asarray(resized, np.uint8)


def picture_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """uint8 (..., h, w, 3) -> float32 (..., 3, h, w) in -1..1."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, -1, -3))).float().div_(127.5).sub_(1)


def enlarged(coverage: npt.NDArray[np.float32]) -> Soft:
    """A map (GRID, GRID) at working resolution (256, 256)."""
    return np.asarray(cv2.resize(coverage, (WORKING_SIZE, WORKING_SIZE), interpolation=cv2.INTER_LINEAR), np.float32)


def _find(centres: Tensor, masks: Tensor, kernels: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Objects of one picture: coverage (n, GRID, GRID) and certainty (n,), the surest first, none twice."""
    scores = centres.float().sigmoid()
    peaks = functional.max_pool2d(scores[None, None], 3, 1, 1)[0, 0] == scores
    ranked, where = (scores * peaks).flatten().topk(2 * MAX_OBJECTS)
    keep = ranked > threshold
    keep[0] = True
    ranked, where = ranked[keep], where[keep]
    cells = torch.stack((where // centres.shape[1], where % centres.shape[1]), 1)
    written = kernels[:, cells[:, 0], cells[:, 1]].T.float()
    places = (cells.flip(1).float() + 0.5) * CENTRE_STRIDE
    outlines = draw_outlines(masks.float()[None].expand(len(cells), -1, -1, -1), written, places)
    coverage = outlines.sigmoid()
    solid = (coverage > 0.5).flatten(1).float()
    area = solid.sum(1)
    overlap = solid @ solid.T
    union = (area[:, None] + area[None, :] - overlap).clamp(min=1)
    twice = overlap / union > 0.6
    chosen: list[int] = []
    for number in range(len(cells)):
        if (area[number] >= 5 or number == 0) and not any(twice[number, other] for other in chosen):
            chosen.append(number)
    index = torch.tensor(chosen[:MAX_OBJECTS])
    return coverage[index], ranked[index]


class Description(NamedTuple):
    """Regions as in :class:`Percept`."""

    tokens: Tensor
    geometry: Tensor
    kinds: Tensor | None


def describe(network: PolicyNetwork, picture: Scenery | None, pixels: Pixels, coverages: list[Soft]) -> Description:
    """Regions (256, 256) of a picture, all as in :class:`Percept`."""
    crops = torch.from_numpy(np.stack([object_crop(pixels, c) for c in coverages]))
    places = torch.from_numpy(np.stack([geometry(c) for c in coverages]))
    seen = kinds = None
    if network.sight is not None and picture is not None:
        seen = see_regions(network.sight, picture, coverages)
        if network.kinds is not None:
            kinds = network.kinds(seen)
    tokens = network.encoder(crops, places, seen).token()
    if network.architecture.grounding_sees:
        assert seen is not None
        tokens = torch.cat((tokens, seen.float()), 1)
    return Description(tokens, places, kinds)


@dataclass(frozen=True, eq=False)
class FoundOutlines:
    """What the detector alone says of a picture: as in :class:`Percept`, without any description."""

    pixels: Pixels
    features: Tensor
    coverage: Tensor
    certainty: Tensor


@torch.no_grad()
def find_objects(network: PolicyNetwork, image: Image, threshold: float = 0.08) -> FoundOutlines:
    """Detect and outline the objects of a picture of any size. The network must be in evaluation mode."""
    small = working_pixels(image.pixels)
    seen = picture_tensor(small)[None] if network.sight is None else network.sight.whole(image)
    with autocast():
        centres, kernels, masks = network.detector(seen)
    coverage, certainty = _find(centres[0], masks[0], kernels[0], threshold)
    if network.redrawer is not None:
        coverage = network.redrawer.redrawn(image, coverage)
    return FoundOutlines(small, masks[0].float(), coverage, certainty)


@torch.no_grad()
def perceive(network: PolicyNetwork, image: Image) -> Percept:
    """The objects of a picture of any size. The network must be in evaluation mode."""
    found = find_objects(network, image)
    picture = None if network.sight is None else scenery(network.sight, image)
    tokens, places, kinds = describe(network, picture, found.pixels, [enlarged(c) for c in found.coverage.numpy()])
    return Percept(picture, found.pixels, found.features, found.coverage, tokens, places, found.certainty, kinds)
