"""Masks as a process reward model sees them, with their true IoU: the policy's own, of other things, corrupted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import BoolMask, Image, SegmentationTool, empty_mask, frozen_mask, iou
from segagent.datasets import Sample
from segagent.environment import Episode, Target, random_clicks_start, reset
from segagent.learning.policy.masks_to_judge import GEOMETRIC, Thing, faulty
from segagent.learning.policy.rollouts import Asked, own_masks
from segagent.learning.prm.config import PrmConfig
from segagent.policies.embedded.grounding import Grounded, Grounding, Words
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import MAX_OBJECTS, Percept, perceive
from segagent.policies.embedded.prm import JoinedHead, joined_evidence, overlaps
from segagent.policies.embedded.reading import encoded, examine, see_mask, show
from segagent.policies.embedded.tokens import MAX_WORDS, PADDING


class JudgedRows(NamedTuple):
    """n masks: what a grounding is shown (n, ...), the sentences' ``numbers`` (n, MAX_WORDS), and what
    :func:`segagent.policies.embedded.prm.joined_evidence` and the joined head take besides. ``iou`` (n,) is the truth,
    ``picture`` (n,) numbers the pictures.
    """

    tokens: Tensor
    geometry: Tensor
    certainty: Tensor
    valid: Tensor
    numbers: Tensor
    summary: Tensor
    overlap: Tensor
    compared: Tensor
    quality: Tensor
    mixed: Tensor
    iou: Tensor
    picture: Tensor

    def at(self, rows: Tensor) -> JudgedRows:
        """Some of them."""
        return JudgedRows(*(part[rows] for part in self))


def rows_about(
    rng: np.random.Generator,
    network: PolicyNetwork,
    tool: SegmentationTool,
    sample: Sample,
    number: int,
    config: PrmConfig,
) -> JudgedRows | None:
    """The masks of one sentence; None where none can be judged. ``number`` is the picture's.

    Raises ``InputError`` where the sample cannot be read.
    """
    image = sample.load_image()
    target = Target(*sample.load_target(image))
    percept = perceive(network, image)
    asked = Asked(image, percept, encoded(network, sample.text))
    masks = own_masks(rng, network, [asked], tool, config.max_steps)[0]
    others = _found(percept, image, target)
    masks += _likeliest(network, asked, others)[: config.distractors]
    masks += list(_corrupted(rng, image, target, [mask for mask, _ in others], config.corrupted))
    if config.clicked and target.mask.any():
        starts = [random_clicks_start(target.mask, rng) for _ in range(config.clicked)]
        episodes = [Episode(image, sample.text, sample.sample_id, sample.image_name, start) for start in starts]
        masks += [state.mask for state in reset(episodes, tool.embed([image]) * len(episodes), tool)]
    rows = [row for mask in masks if (row := _row(network, asked, sample.text, mask, target, number)) is not None]
    return JudgedRows(*(torch.cat(parts) for parts in zip(*rows, strict=True))) if rows else None


def _found(percept: Percept, image: Image, target: Target) -> list[tuple[BoolMask, int]]:
    """Outlines of found objects that are not the target, with their numbers."""
    outlines = []
    for number, coverage in enumerate(percept.coverage.numpy()):
        large = cv2.resize(coverage, (image.width, image.height), interpolation=cv2.INTER_LINEAR)
        mask = frozen_mask(np.asarray(large > 0.5, np.bool_))
        if mask.any() and iou(mask, target.mask, target.ignore) < 0.5:
            outlines.append((mask, number))
    return outlines


def _likeliest(network: PolicyNetwork, asked: Asked, others: list[tuple[BoolMask, int]]) -> list[BoolMask]:
    empty = empty_mask(asked.image.height, asked.image.width)
    objects = examine(network, asked.percept, asked.words, empty).objects
    return [mask for mask, _ in sorted(others, key=lambda one: -float(objects[1 + one[1]]))]


def _corrupted(
    rng: np.random.Generator, image: Image, target: Target, others: list[BoolMask], num: int
) -> Iterator[BoolMask]:
    """The target's mask, one time in four as it is and else gone wrong."""
    thing = Thing(image.pixels, target.mask, others)
    for _ in range(num if target.mask.any() else 0):
        wrong = None if rng.random() < 0.25 else faulty(rng, thing, str(rng.choice(GEOMETRIC)))
        yield target.mask if wrong is None else wrong


def _row(
    network: PolicyNetwork, asked: Asked, text: str, mask: BoolMask, target: Target, number: int
) -> JudgedRows | None:
    found = examine(network, asked.percept, asked.words, mask)
    if found.quality is None:
        return None
    percept, seen = asked.percept, see_mask(asked.percept, mask)
    numbers = torch.tensor([network.vocabulary.encode(text)])
    missing = MAX_OBJECTS - len(percept.tokens)
    return JudgedRows(
        *show(network, percept, seen),
        functional.pad(numbers, (0, MAX_WORDS - numbers.shape[1]), value=PADDING),
        found.mixture.summary[None],
        functional.pad(overlaps(percept.coverage, seen.grid), (0, missing))[None],
        found.quality.compared,
        found.quality.iou.softmax(1),
        found.mixture.iou[None],
        torch.tensor([iou(mask, target.mask, target.ignore)], dtype=torch.float32),
        torch.tensor([number]),
    )


def judge_rows(grounding: Grounding, joined: JoinedHead, rows: JudgedRows) -> Tensor:
    """Logits (n, NUM_IOU) of the masks' IoU."""
    longest = max(1, int((rows.numbers != PADDING).sum(1).max()))
    words: Words = grounding.text(rows.numbers[:, :longest])
    grounded: Grounded = grounding(words, rows.tokens, rows.geometry, rows.certainty, rows.valid, mask_last=True)
    evidence = joined_evidence(
        rows.summary, grounded, rows.overlap, rows.certainty[:, :-1], rows.compared, rows.quality
    )
    logits: Tensor = joined(evidence, rows.mixed, rows.quality)
    return logits
