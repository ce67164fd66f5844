"""The embedded model's replies as distributions that can be differentiated: what it looks at, and what it would say.

It is the same arithmetic as :mod:`segagent.policies.embedded.reading`, kept apart because that one runs without
gradients, one observation at a time; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import BoolMask, Click
from segagent.cpu import autocast
from segagent.policies.embedded.grounding import Words
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.objects import NUM_GEOMETRY
from segagent.policies.embedded.perception import MAX_OBJECTS, Percept, describe
from segagent.policies.embedded.reading import SeenMask, decide, see_mask, state_inputs
from segagent.policies.embedded.state_head import BINS, MAX_HYPOTHESES

_NO_LESS = 1e-9


@dataclass(frozen=True, eq=False)
class Look:
    """All that a reply is written from but the weights that learn: the found objects and, last, the masked region."""

    tokens: Tensor
    geometry: Tensor
    certainty: Tensor
    valid: Tensor
    num_objects: int
    percept: Percept
    seen: SeenMask


class Replies(NamedTuple):
    """Of n looks: logarithms of the probabilities of the sign (n, 2), positive first, and of the place given the sign
    (n, 2, BINS * BINS), rows are y.
    """

    sign: Tensor
    place: Tensor

    def of(self, tokens: Tensor) -> Tensor:
        """The log-probabilities (n,) of clicks ``tokens`` (n, 2): sign and place."""
        rows = torch.arange(len(tokens))
        return self.sign[rows, tokens[:, 0]] + self.place[rows, tokens[:, 0], tokens[:, 1]]

    def divergence(self, other: Replies) -> Tensor:
        """How far ``other`` lies from these, Kullback-Leibler, in nats (n,)."""
        mine, theirs = (r.sign[..., None] + r.place for r in (self, other))
        return (mine.exp() * (mine - theirs)).sum((1, 2))


@torch.no_grad()
def look_at(network: PolicyNetwork, percept: Percept, masks: Sequence[BoolMask]) -> list[Look]:
    """What there is to see of each of ``masks`` over one picture."""
    seen = [see_mask(percept, mask) for mask in masks]
    drawn = [number for number, one in enumerate(seen) if (one.full > 0.5).any()]
    token_length = percept.tokens.shape[1]
    regions, places = torch.zeros(len(seen), token_length), torch.zeros(len(seen), NUM_GEOMETRY)
    if drawn:
        regions[drawn], places[drawn] = describe(
            network, percept.scenery, percept.pixels, [seen[number].full for number in drawn]
        )
    missing = MAX_OBJECTS - len(percept.tokens)
    tokens = functional.pad(percept.tokens, (0, 0, 0, missing))
    geometry = functional.pad(percept.geometry, (0, 0, 0, missing))
    certainty = functional.pad(percept.certainty, (0, missing + 1))
    looks = []
    for number, one in enumerate(seen):
        valid = torch.arange(MAX_OBJECTS + 1) < len(percept.tokens)
        valid[-1] = number in drawn
        shown = torch.cat((tokens, regions[number][None]))
        where = torch.cat((geometry, places[number][None]))
        looks.append(Look(shown, where, certainty, valid, len(percept.tokens), percept, one))
    return looks


def replies_to(network: PolicyNetwork, text: Tensor, looks: Sequence[Look]) -> Replies:
    """What would be said to ``looks`` of one picture, all for the sentence ``text`` (1, words) of word numbers."""
    num = len(looks)
    words: Words = network.grounding.text(text)
    grounded = network.grounding(
        Words(words.states.expand(num, -1, -1), words.valid.expand(num, -1)),
        torch.stack([one.tokens for one in looks]),
        torch.stack([one.geometry for one in looks]),
        torch.stack([one.certainty for one in looks]),
        torch.stack([one.valid for one in looks]),
        mask_last=True,
    )
    objects = grounded.logits[:, : looks[0].num_objects + 1].softmax(1)
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
    signs, places, at = [], [], 0
    for row, chosen in zip(objects, hypotheses, strict=True):
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
    return Replies(torch.stack(signs).log_softmax(1), torch.stack(places).log_softmax(2))


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
