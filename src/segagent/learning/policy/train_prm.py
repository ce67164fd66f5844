"""The process reward model's joined head: whether a mask is what a sentence means, on pictures not seen before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from segagent.core import BoolMask, Image, SegmentationTool, iou
from segagent.learning.photographs.said import said_scene
from segagent.learning.photographs.store import scene_of
from segagent.learning.photographs.views import Photo
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.masks_to_judge import GEOMETRIC, Thing, faulty
from segagent.learning.policy.rollouts import Asked, own_masks
from segagent.learning.policy.scene_store import SIZE, StoredExpression, StoredScene
from segagent.learning.policy.train_quality import correlation, mean_iou, ranking_loss
from segagent.learning.policy.train_states import soft_iou_labels
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import Percept, perceive
from segagent.policies.embedded.prm import NUM_EVIDENCE, JoinedHead
from segagent.policies.embedded.reading import encoded, examine
from segagent.policies.embedded.state_head import NUM_IOU

_BATCH = 256
_UNKNOWN_WORD = "qwxz"
"""A word that no vocabulary holds: of a mask that nothing is said about only its outline can be judged."""
_STEPS = 4
_MOST_SAID, _GIVEN_SAID = 4, 3
_STREAM = 0x9408


@dataclass(frozen=True, eq=False)
class KnownPicture:
    """A picture with the ``masks`` of its things, bool (height, width), their ``categories`` (empty where unknown),
    sentences made about them and what people ``said``.
    """

    image: Image
    masks: list[BoolMask]
    categories: list[str]
    expressions: tuple[StoredExpression, ...]
    said: tuple[StoredExpression, ...] = ()


def known_scene(scene: StoredScene) -> KnownPicture:
    """A generated scene."""
    masks = [scene.mask(number) for number in range(len(scene.names))]
    return KnownPicture(Image.of(scene.pixels), masks, [names[0] for names in scene.names], scene.expressions)


def known_photograph(
    photo: Photo, number: int, sentences: int, said: Sequence[tuple[int | None, str]] = ()
) -> KnownPicture:
    """A photograph at its own size, with sentences made from its annotations; ``number`` seeds them. ``said`` as in
    :class:`~segagent.learning.photographs.said.Said`.
    """
    scene = scene_of(np.random.default_rng((_STREAM, number)), photo, number, sentences)
    drawn = cv2.resize(photo.labels, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
    labels = [int(np.bincount(drawn[scene.mask(n)]).argmax()) for n in range(len(scene.names))]
    masks = [photo.labels == label for label in labels]
    image, people = said_scene(photo, said)
    return KnownPicture(image, masks, [names[0] for names in scene.names], scene.expressions, people.expressions)


@dataclass(frozen=True, eq=False)
class PrmRow:
    """One mask under one sentence as the joined head sees it, all 1-D, and its true IoU."""

    evidence: Tensor
    mixed: Tensor
    quality: Tensor
    iou: float


def prm_rows(
    rng: np.random.Generator,
    network: PolicyNetwork,
    pictures: Iterable[KnownPicture],
    tool: SegmentationTool,
    given: int,
) -> Iterator[PrmRow]:
    """Of each picture the masks of one episode of the policy, and ``given`` true, faulty and other things' masks; and
    of up to four sentences of people the masks of an episode each and three given ones.
    """
    for picture in pictures:
        made, said = picture.expressions, picture.said
        few = [said[int(n)] for n in rng.permutation(len(said))[:_MOST_SAID]]
        asked = ([made[int(rng.integers(len(made)))]] if made else []) + few
        if not asked:
            continue
        percept = perceive(network, picture.image)
        for expression in asked:
            one = Asked(picture.image, percept, encoded(network, expression.text))
            wanted = [picture.masks[expression.target]] if expression.target >= 0 else []
            for mask in own_masks(rng, network, [one], tool, _STEPS)[0]:
                yield from _row(network, percept, expression.text, mask, wanted)
        about = [made[int(n)] for n in rng.integers(len(made), size=given)] if made else []
        for expression in about + few * _GIVEN_SAID:
            text, mask, wanted = _given(rng, picture, expression)
            yield from _row(network, percept, text, mask, wanted)


def _given(
    rng: np.random.Generator, picture: KnownPicture, expression: StoredExpression
) -> tuple[str, BoolMask, list[BoolMask]]:
    """A sentence, ``expression`` or one that says less, a mask that somebody might have given for it, and the masks of
    what it may mean.
    """
    text, meant = expression.text, expression.target
    wanted = [picture.masks[meant]] if meant >= 0 else []
    number = meant if meant >= 0 and rng.random() < 0.75 else int(rng.integers(len(picture.masks)))
    roll = rng.random()
    if roll < 0.25 and picture.categories[number]:
        # A category's name alone, of this thing or of another: any thing of that category is meant.
        of = number if rng.random() < 0.7 else int(rng.integers(len(picture.masks)))
        text = picture.categories[of] or text
        wanted = [m for m, name in zip(picture.masks, picture.categories, strict=True) if name == text] or wanted
    elif roll < 0.33:
        text, wanted = _UNKNOWN_WORD, picture.masks
    others = [mask for other, mask in enumerate(picture.masks) if other != number]
    thing = Thing(picture.image.pixels, picture.masks[number], others)
    mask = None if rng.random() < 0.5 else faulty(rng, thing, str(rng.choice(GEOMETRIC)))
    return text, thing.mask if mask is None else mask, wanted


def _row(
    network: PolicyNetwork, percept: Percept, text: str, mask: BoolMask, wanted: Sequence[BoolMask]
) -> Iterator[PrmRow]:
    found = examine(network, percept, encoded(network, text), mask)
    if found.evidence is not None and found.quality is not None:
        best = max((iou(mask, one) for one in wanted), default=0.0)
        yield PrmRow(found.evidence, found.mixture.iou, found.quality.iou[0].softmax(0), best)


Table = tuple[Tensor, Tensor, Tensor, Tensor]


def joined_tables(tables: Sequence[Table]) -> Table:
    """The rows of all ``tables``."""
    evidence, mixed, quality, ious = (torch.cat(parts) for parts in zip(*tables, strict=True))
    return evidence, mixed, quality, ious


def tabulate(rows: Sequence[PrmRow]) -> Table:
    """Rows as tensors: evidence, mixed, quality, IoU."""
    if not rows:
        return torch.zeros(0, NUM_EVIDENCE), torch.zeros(0, NUM_IOU), torch.zeros(0, NUM_IOU), torch.zeros(0)
    return (
        torch.stack([row.evidence for row in rows]),
        torch.stack([row.mixed for row in rows]),
        torch.stack([row.quality for row in rows]),
        torch.tensor([row.iou for row in rows], dtype=torch.float32),
    )


def train_joined(
    work: Path, table: Table, held_out: Table, budget: StageBudget, seed: int, *, resume: bool
) -> JoinedHead:
    """Train, or continue to train, the joined head; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("joined", JoinedHead(), work, budget, resume=resume)
    evidence, mixed, quality, ious = table
    for step in stage.batches():
        stage.network.train()
        pick = torch.from_numpy(np.random.default_rng((seed, 5, step)).integers(0, len(ious), _BATCH))
        logits = stage.network(evidence[pick], mixed[pick], quality[pick])
        said = -(soft_iou_labels(ious[pick], 3.0) * logits.log_softmax(1)).sum(1).mean()
        stage.update(said + 2 * ranking_loss(mean_iou(logits), ious[pick]))
    assert isinstance(stage.average, JoinedHead)
    if len(held_out[3]):
        stage.log({"val": joined_quality(stage.average, held_out)})
    return stage.average


@torch.no_grad()
def joined_quality(network: JoinedHead, table: Table) -> dict[str, float]:
    """Pearson correlation and mean absolute error of the predicted IoU; ``mixed_`` and ``quality_`` the same of what
    words and outline alone say.
    """
    evidence, mixed, quality, ious = table
    said = {"": network(evidence, mixed, quality), "mixed_": mixed.log(), "quality_": quality.log()}
    result = {}
    for name, logits in said.items():
        means = mean_iou(logits)
        result[f"{name}r"] = correlation(means, ious)
        result[f"{name}mae"] = round(float((means - ious).abs().mean()), 4)
    return result
