"""What the model thinks of one observation: the distributions its reply is written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import BoolMask
from segagent.cpu import autocast
from segagent.policies.embedded.detector import GRID, WORKING_SIZE
from segagent.policies.embedded.grounding import Grounded, Grounding, Words
from segagent.policies.embedded.kinds import asked_kinds, lean
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.objects import NUM_GEOMETRY
from segagent.policies.embedded.perception import MAX_OBJECTS, Percept, describe, picture_tensor
from segagent.policies.embedded.prm import evidence_of
from segagent.policies.embedded.quality import Quality, judge_quality
from segagent.policies.embedded.state_head import (
    BINS,
    MAX_HYPOTHESES,
    Grid,
    JudgedState,
    Refined,
    error_depths,
    outline_logits,
    state_channels,
)
from segagent.policies.overlay import GREEN, Color, draw_overlay, seen_mask, shrunken_mask


@dataclass(frozen=True, eq=False)
class SeenMask:
    """The current mask as recovered from the overlaid picture: ``overlay`` uint8 (256, 256, 3); coverage in
    0..1 at three resolutions: ``full`` (256, 256), ``bins`` (BINS, BINS), ``grid`` (GRID, GRID).
    """

    overlay: npt.NDArray[np.uint8]
    full: Grid
    bins: Grid
    grid: Grid


@dataclass(frozen=True, eq=False)
class Reading:
    """``sign`` (2,): probability of a positive and of a negative click. ``place`` (2, BINS, BINS): of its place
    given the sign, each map summing to 1, rows are y. ``iou`` (101,): of the mask's IoU in percent. ``objects``
    (1 + n,): of which found object is meant, entry 0 meaning none of them. All float64. ``absent``: probability that
    nothing in the picture is meant, found or not; None where the model cannot tell.
    """

    sign: npt.NDArray[np.float64]
    place: npt.NDArray[np.float64]
    iou: npt.NDArray[np.float64]
    objects: npt.NDArray[np.float64]
    absent: float | None = None


def see_mask(percept: Percept, mask: BoolMask, color: Color = GREEN) -> SeenMask:
    """Lay the mask (any size) over the picture and read it off again; what the picture hides stays hidden."""
    overlay = draw_overlay(percept.pixels, shrunken_mask(mask, WORKING_SIZE), color)
    full = seen_mask(overlay, percept.pixels, color)
    bins = np.asarray(cv2.resize(full, (BINS, BINS), interpolation=cv2.INTER_AREA), np.float32)
    grid = np.asarray(cv2.resize(full, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)
    return SeenMask(overlay, full, bins, grid)


class Shown(NamedTuple):
    """What a grounding is shown of one picture and mask, batch 1: the found objects and, last, the masked region."""

    tokens: Tensor
    geometry: Tensor
    certainty: Tensor
    valid: Tensor


def show(network: PolicyNetwork, percept: Percept, seen: SeenMask) -> Shown:
    """The found objects, and what the mask lies on."""
    tokens = functional.pad(percept.tokens, (0, 0, 0, MAX_OBJECTS - len(percept.tokens)))
    places = functional.pad(percept.geometry, (0, 0, 0, MAX_OBJECTS - len(percept.tokens)))
    certainty = functional.pad(percept.certainty, (0, MAX_OBJECTS - len(percept.tokens)))
    valid = torch.arange(MAX_OBJECTS + 1) < len(percept.tokens)
    region, place = torch.zeros(1, tokens.shape[1]), torch.zeros(1, NUM_GEOMETRY)
    if (seen.full > 0.5).any():
        region, place, _ = describe(network, percept.scenery, percept.pixels, [seen.full])
        valid[-1] = True
    return Shown(
        torch.cat((tokens, region))[None],
        torch.cat((places, place))[None],
        torch.cat((certainty, torch.zeros(1)))[None],
        valid[None],
    )


@torch.no_grad()
def encoded(network: PolicyNetwork, text: str) -> Words:
    """One sentence, batch 1, as :func:`examine` takes it."""
    words: Words = network.grounding.text(torch.tensor([network.vocabulary.encode(text)]))
    classes, taught = asked_kinds(text, network.vocabulary)
    return words._replace(kinds=classes, taught=taught)


def ground(grounding: Grounding, words: Words, shown: Shown) -> Grounded:
    """The sentence against the found objects and, last, the masked region itself; batch 1."""
    answer: Grounded = grounding(words, *shown, mask_last=True)
    return answer


def understand(network: PolicyNetwork, percept: Percept, words: Words, shown: Shown) -> Grounded:
    """As :func:`ground`, with what the objects look like to ImageNet's classifier taken into account."""
    answer = ground(network.grounding, words, shown)
    if network.kinds is None or percept.kinds is None or not words.kinds:
        return answer
    evidence = network.kinds.evidence(percept.kinds, words.kinds)
    places = shown.valid.shape[1]
    found = torch.arange(places)[None] < len(evidence)
    padded = functional.pad(evidence, (0, places - len(evidence)))[None]
    return lean(answer, padded, found, torch.tensor([words.taught]))


def state_inputs(percept: Percept, seen: SeenMask, hypotheses: list[int]) -> tuple[Tensor, Tensor]:
    """The state head's input channels and the outlines' logits, one row per hypothesis (an object's number)."""
    num = len(hypotheses)
    coverage = percept.coverage[hypotheses]
    others = torch.stack([_all_but(percept.coverage, number) for number in hypotheses])
    depths = torch.from_numpy(np.stack([error_depths(c, seen.bins) for c in coverage.numpy()]))
    mask = torch.from_numpy(seen.grid).expand(num, -1, -1)
    small = cv2.resize(seen.overlay, (GRID, GRID), interpolation=cv2.INTER_AREA)
    colours = picture_tensor(np.asarray(small, np.uint8))[None].expand(num, -1, -1, -1)
    features = percept.features[None].expand(num, -1, -1, -1)
    return state_channels(features, colours, coverage, others, mask, depths), outline_logits(coverage)


def _all_but(coverage: Tensor, number: int) -> Tensor:
    rest = torch.cat((coverage[:number], coverage[number + 1 :]))
    return rest.amax(0) if len(rest) else torch.zeros_like(coverage[0])


def decide(network: PolicyNetwork, refined: Refined, seen: list[SeenMask]) -> JudgedState:
    """Second half of the state head: depths between the corrected outlines and the masks, then the verdict."""
    outlines = refined.target.detach().sigmoid().numpy()
    depths = torch.from_numpy(np.stack([error_depths(o, s.bins) for o, s in zip(outlines, seen, strict=True)]))
    masks = torch.from_numpy(np.stack([s.grid for s in seen]))
    judged: JudgedState = network.state.decide(refined, masks, depths)
    return judged


@dataclass(frozen=True, eq=False)
class Mixture:
    """The hypotheses' ``weights`` (h,), summing to 1, mixed ``iou`` (NUM_IOU,) and ``summary`` (NUM_SUMMARY,)."""

    weights: Tensor
    iou: Tensor
    summary: Tensor


def mix_iou(objects: Tensor, hypotheses: list[int], judged: JudgedState, seen: SeenMask) -> Mixture:
    """Mix the hypotheses' IoU distributions by how likely each object is meant.

    ``objects`` (1 + n,) probabilities, entry 0 none. What no hypothesis covers counts as an IoU of 0 to 20
    percent.
    """
    chosen = objects[1:][hypotheses]
    weights = chosen / chosen.sum().clamp(min=1e-9)
    covered = chosen.sum()
    low = torch.zeros(judged.iou.shape[1])
    low[:21] = 1 / 21
    mixed = covered * (weights[:, None] * judged.iou.softmax(1)).sum(0) + (1 - covered) * low
    bins = torch.arange(len(mixed), dtype=torch.float32) / (len(mixed) - 1)
    mean = (mixed * bins).sum()
    spread = ((mixed * (bins - mean) ** 2).sum()).sqrt()
    area = float(seen.grid.mean())
    summary = torch.stack((chosen[0], objects[0], covered, mean, spread, torch.tensor(np.log(area + 1e-3) / 4)))
    return Mixture(weights, mixed, summary.float())


@dataclass(frozen=True, eq=False)
class Examined:
    """Everything found out about one observation before the reply: ``objects`` (1 + n,) probabilities, entry 0 none;
    the verdict for each of ``hypotheses``, and their ``mixture``. Where the network has a process reward model and the
    mask is not empty, the mask's ``quality`` and the ``evidence`` (NUM_EVIDENCE,) to judge it by.
    ``absent`` as in :class:`Reading`.
    """

    objects: Tensor
    hypotheses: list[int]
    judged: JudgedState
    mixture: Mixture
    quality: Quality | None
    evidence: Tensor | None
    absent: float | None


@torch.no_grad()
def examine(network: PolicyNetwork, percept: Percept, words: Words, mask: BoolMask, color: Color = GREEN) -> Examined:
    """Look at one picture with one encoded sentence (batch 1) and one mask (height, width)."""
    seen = see_mask(percept, mask, color)
    shown = show(network, percept, seen)
    grounded = understand(network, percept, words, shown)
    objects = grounded.logits[0, : len(percept.tokens) + 1].softmax(0)
    ranked = objects[1:].argsort(descending=True, stable=True).tolist()
    hypotheses = [n for n in ranked[:MAX_HYPOTHESES] if n == ranked[0] or objects[1 + n] > 0.02]
    inputs, outlines = state_inputs(percept, seen, hypotheses)
    with autocast():
        refined = network.state.refine(inputs, outlines)
    judged = decide(network, refined, [seen] * len(hypotheses))
    mixture = mix_iou(objects, hypotheses, judged, seen)
    absent = None if network.absent_above is None else float(grounded.absent[0].sigmoid())
    quality = evidence = None
    if network.prm is not None and network.sight is not None and percept.scenery is not None and mask.any():
        quality = judge_quality(network.prm.quality, network.sight, percept.scenery, mask, color)
        own = network.prm.grounding
        if own is not None:
            grounded = ground(own, own.text(words.numbers), shown)
        evidence = evidence_of(mixture.summary, grounded, percept.coverage, percept.certainty, seen.grid, quality)
    return Examined(objects, hypotheses, judged, mixture, quality, evidence, absent)


def predicted_iou(network: PolicyNetwork, found: Examined) -> Tensor:
    """The distribution (NUM_IOU,) of the mask's IoU in percent."""
    mixed = found.mixture.iou
    if network.prm is None or found.quality is None or found.evidence is None:
        return mixed
    seen = found.quality.iou.softmax(1)
    joined: Tensor = network.prm.joined(found.evidence[None], mixed[None], seen)[0].softmax(0)
    return joined


@torch.no_grad()
def conclude(network: PolicyNetwork, found: Examined) -> Reading:
    """Mix the hypotheses into the distributions the reply is written from."""
    mixture, judged = found.mixture, found.judged
    iou = predicted_iou(network, found).double()
    weights = mixture.weights.double()
    positive = judged.sign.double().sigmoid()
    by_sign = torch.stack((positive, 1 - positive), 1) * weights[:, None]
    sign = by_sign.sum(0)
    maps = judged.place.double().flatten(2).softmax(2)
    place = (maps * by_sign[:, :, None]).sum(0) / sign.clamp(min=1e-12)[:, None]
    place = place / place.sum(1, keepdim=True).clamp(min=1e-12)
    return Reading(
        (sign / sign.sum()).numpy(),
        place.view(2, BINS, BINS).numpy(),
        (iou / iou.sum()).numpy(),
        found.objects.double().numpy(),
        found.absent,
    )
