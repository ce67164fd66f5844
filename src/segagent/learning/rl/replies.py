"""The embedded model's replies as distributions that can be differentiated: what it looks at, and what it would say.

It is the same arithmetic as :mod:`segagent.policies.embedded.reading`, kept apart because that one runs without
gradients, one observation at a time; a test holds the two together. What objects look like to ImageNet's classifier,
which does not learn, is left out here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from segagent.core import BoolMask, Click
from segagent.cpu import autocast
from segagent.policies.embedded.grounding import Grounded, Grounding, Words
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.objects import NUM_GEOMETRY
from segagent.policies.embedded.perception import MAX_OBJECTS, Percept, describe
from segagent.policies.embedded.reading import SeenMask, decide, mix_iou, see_mask, state_inputs
from segagent.policies.embedded.state_head import BINS, MAX_HYPOTHESES, JudgedState, Refined

_NO_LESS = 1e-9


class Played(nn.Module):
    """What learns to reply: the grounding and the state head of a network."""

    def __init__(self, network: PolicyNetwork) -> None:
        super().__init__()
        self.grounding, self.state = network.grounding, network.state

    def put_into(self, network: PolicyNetwork) -> None:
        """Give ``network`` these parts."""
        network.grounding, network.state = self.grounding, self.state


@dataclass(frozen=True, eq=False)
class Look:
    """All that a reply is written from but the weights that learn: the found objects and, last, the masked region."""

    tokens: Tensor
    geometry: Tensor
    certainty: Tensor
    valid: Tensor
    percept: Percept
    seen: SeenMask


class Replies(NamedTuple):
    """Of n looks: logarithms of the probabilities of the sign (n, 2), positive first, of the place given the sign
    (n, 2, BINS * BINS), rows are y, and of the mask's IoU in percent (n, NUM_IOU), the process reward model left out.
    """

    sign: Tensor
    place: Tensor
    iou: Tensor

    def of(self, tokens: Tensor) -> Tensor:
        """The log-probabilities (n,) of clicks ``tokens`` (n, 2): sign and place."""
        rows = torch.arange(len(tokens))
        return self.sign[rows, tokens[:, 0]] + self.place[rows, tokens[:, 0], tokens[:, 1]]

    def divergence(self, other: Replies) -> Tensor:
        """How far ``other`` lies from these, Kullback-Leibler, in nats (n,)."""
        mine, theirs = (r.sign[..., None] + r.place for r in (self, other))
        return (mine.exp() * (mine - theirs)).sum((1, 2))


class Regions(NamedTuple):
    """What masks over one picture lie on: ``tokens`` (n, as in :class:`Percept`), ``geometry`` (n, NUM_GEOMETRY), and
    whether there is any mask, ``drawn`` bool (n,).
    """

    tokens: Tensor
    geometry: Tensor
    drawn: Tensor


@torch.no_grad()
def regions_of(network: PolicyNetwork, percept: Percept, seen: Sequence[SeenMask]) -> Regions:
    """What each of the masks ``seen`` lies on."""
    drawn = torch.tensor([bool((one.full > 0.5).any()) for one in seen])
    tokens, geometry = torch.zeros(len(seen), percept.tokens.shape[1]), torch.zeros(len(seen), NUM_GEOMETRY)
    if drawn.any():
        coverages = [one.full for one, there in zip(seen, drawn.tolist(), strict=True) if there]
        tokens[drawn], geometry[drawn], _ = describe(network, percept.scenery, percept.pixels, coverages)
    return Regions(tokens, geometry, drawn)


def looks_of(percept: Percept, seen: Sequence[SeenMask], regions: Regions) -> list[Look]:
    """Looks at one picture, one for each mask."""
    num, missing = len(percept.tokens), MAX_OBJECTS - len(percept.tokens)
    tokens = functional.pad(percept.tokens, (0, 0, 0, missing))
    geometry = functional.pad(percept.geometry, (0, 0, 0, missing))
    certainty = functional.pad(percept.certainty, (0, missing + 1))
    looks = []
    for number, one in enumerate(seen):
        valid = torch.arange(MAX_OBJECTS + 1) < num
        valid[-1] = regions.drawn[number]
        shown = torch.cat((tokens, regions.tokens[number][None]))
        where = torch.cat((geometry, regions.geometry[number][None]))
        looks.append(Look(shown, where, certainty, valid, percept, one))
    return looks


def look_at(network: PolicyNetwork, percept: Percept, masks: Sequence[BoolMask]) -> list[Look]:
    """What there is to see of each of ``masks`` over one picture."""
    seen = [see_mask(percept, mask) for mask in masks]
    return looks_of(percept, seen, regions_of(network, percept, seen))


@dataclass(frozen=True, eq=False)
class Guessed:
    """What n looks are taken for: the grounding's ``logits`` (n, 2 + MAX_OBJECTS), the ``hypotheses`` of each look
    (numbers of objects), and the outlines of these, a row each.
    """

    logits: Tensor
    hypotheses: list[list[int]]
    refined: Refined


def grounded_in(grounding: Grounding, text: Tensor, looks: Sequence[Look]) -> Grounded:
    """Sentences against looks. ``text`` (n or 1, words) of word numbers, one for all looks where it has one row."""
    words: Words = grounding.text(text)
    if len(text) == 1:
        states, valid, numbers = (part.expand(len(looks), *part.shape[1:]) for part in words[:3])
        words = Words(states, valid, numbers)
    answer: Grounded = grounding(
        words,
        torch.stack([one.tokens for one in looks]),
        torch.stack([one.geometry for one in looks]),
        torch.stack([one.certainty for one in looks]),
        torch.stack([one.valid for one in looks]),
        mask_last=True,
    )
    return answer


def guess(network: PolicyNetwork, text: Tensor, looks: Sequence[Look]) -> tuple[Guessed, Replies]:
    """What is taken to be meant, and what would be said to it. ``text`` as in :func:`grounded_in`; looks may be of
    several pictures.
    """
    grounded = grounded_in(network.grounding, text, looks)
    objects = grounded.logits[:, : MAX_OBJECTS + 1].softmax(1)
    hypotheses = [_hypotheses(one) for one in objects.detach()]
    inputs, outlines, seen = [], [], []
    for one, chosen in zip(looks, hypotheses, strict=True):
        channels, outline = state_inputs(one.percept, one.seen, chosen)
        inputs.append(channels)
        outlines.append(outline)
        seen += [one.seen] * len(chosen)
    with autocast():
        refined = network.state.refine(torch.cat(inputs), torch.cat(outlines))
    judged = decide(network, refined, seen)
    signs, places, ious, at = [], [], [], 0
    for look, row, chosen in zip(looks, objects, hypotheses, strict=True):
        rows = slice(at, at + len(chosen))
        at += len(chosen)
        picked = row[1:][chosen]
        weights = picked / picked.sum().clamp(min=_NO_LESS)
        positive = judged.sign[rows].sigmoid()
        by_sign = torch.stack((positive, 1 - positive), 1) * weights[:, None]
        maps = judged.place[rows].flatten(2).softmax(2)
        sign = by_sign.sum(0)
        place = (maps * by_sign[:, :, None]).sum(0) / sign.clamp(min=_NO_LESS)[:, None]
        signs.append(sign.clamp(min=_NO_LESS).log())
        places.append(place.clamp(min=_NO_LESS).log())
        judged_here = JudgedState(judged.sign[rows], judged.place[rows], judged.iou[rows])
        ious.append(mix_iou(row, chosen, judged_here, look.seen).iou.clamp(min=_NO_LESS).log())
    replies = Replies(torch.stack(signs).log_softmax(1), torch.stack(places).log_softmax(2), torch.stack(ious))
    return Guessed(grounded.logits, hypotheses, refined), replies


def replies_to(network: PolicyNetwork, text: Tensor, looks: Sequence[Look]) -> Replies:
    """What would be said to ``looks``; ``text`` as in :func:`grounded_in`."""
    return guess(network, text, looks)[1]


def draw_clicks(replies: Replies, rng: np.random.Generator) -> Tensor:
    """A click for each look at temperature 1: (n, 2), sign (0 positive) and place."""
    drawn = []
    for sign, place in zip(replies.sign.double().exp().numpy(), replies.place.double().exp().numpy(), strict=True):
        chosen = int(rng.random() > sign[0] / sign.sum())
        cumulative = np.cumsum(place[chosen])
        where = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        drawn.append((chosen, min(where, BINS * BINS - 1)))
    return torch.tensor(drawn)


def click_at(token: Sequence[int], height: int, width: int) -> Click:
    """The click that (sign, place) is in a picture of ``height`` x ``width``: the middle of the place, as written."""
    sign, place = token
    y, x = divmod(int(place), BINS)
    across, down = int((x + 0.5) * width / BINS), int((y + 0.5) * height / BINS)
    return Click(min(width - 1, across), min(height - 1, down), sign == 0)


def _hypotheses(objects: Tensor) -> list[int]:
    ranked = objects[1:].argsort(descending=True, stable=True).tolist()
    return [n for n in ranked[:MAX_HYPOTHESES] if n == ranked[0] or objects[1 + n] > 0.02]
