"""ImageNet's classifier made small for the regions that the policy sees, and how much it is to be trusted there.

Nothing is trained: the classifier that was published with the encoder reads the same features of its last stage, here
means over a region instead of single cells. Its last layer is cut down to ``RANK`` numbers, those that matter most for
things of training photographs, and all weights to eight bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segagent.learning.photographs.store import PhotoSets
from segagent.learning.policy.train_grounding import PerceivedScene, grounding_batch, likelihood, run
from segagent.policies.embedded.grounding import Grounded, Grounding
from segagent.policies.embedded.kinds import RANK, Kinds, asked_kinds, chance_of, lean, nouns
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.regions import scenery, see_regions
from segagent.policies.embedded.tokens import Vocabulary, split_words
from segagent.vision.encoder import PublishedHead

_PHOTOGRAPHS, _THINGS = 300, 6
_TRUSTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
_NEUTRALS = tuple(float(n) for n in np.arange(-8, 0, 0.5))
_NO_WORD = "xqzvk"
"""Read as an unknown word, whatever the table."""


@torch.no_grad()
def seen_things(network: PolicyNetwork, sets: PhotoSets, rng: np.random.Generator) -> Tensor:
    """What the encoder sees of things of training photographs, (things, NUM_SEEN)."""
    assert network.sight is not None
    seen = []
    for picture in sets.pictures(rng, min(_PHOTOGRAPHS, sum(map(len, sets.training)))):
        masks = [picture.labels == number for number in range(1, min(len(picture.names), _THINGS) + 1)]
        outlines = [mask.astype(np.float32) for mask in masks if mask.any()]
        if outlines:
            seen.append(see_regions(network.sight, scenery(network.sight, picture.image), outlines))
    return torch.cat(seen)


@torch.no_grad()
def small_kinds(head: PublishedHead, seen: Tensor) -> Kinds:
    """The published classifier for regions such as were ``seen`` (regions, NUM_SEEN); untrusted as yet."""
    kinds = Kinds()
    kinds.widen.set(head.widen, head.widen_bias)
    wide = kinds.wide(seen)
    centre = wide.mean(0)
    spread = (wide - centre).T @ (wide - centre) / len(wide)
    # A little of every direction, for what these things have nothing of.
    root = torch.linalg.cholesky(spread + 1e-3 * torch.eye(len(spread)))
    name = head.name - head.name.mean(0)
    left, sizes, right = torch.linalg.svd(name @ root, full_matrices=False)
    squeeze = torch.linalg.solve_triangular(root.T, right[:RANK].T, upper=True).T
    kinds.squeeze.set(squeeze, -squeeze @ centre)
    kinds.name.set(left[:, :RANK] * sizes[:RANK], head.name_bias + name @ centre)
    return kinds


@dataclass(frozen=True, eq=False)
class _Answers:
    """Sentences about nouns that ImageNet knows: the grounding's answer, the targets bool (b, 1 + n), whether nothing
    is meant, the log-probability that each found object is of the noun's kinds, and whether the noun was taught.
    """

    answer: Grounded
    targets: Tensor
    absent: Tensor
    chance: Tensor
    valid: Tensor
    taught: Tensor


@torch.no_grad()
def _answers(
    grounding: Grounding, scenes: Sequence[PerceivedScene], vocabulary: Vocabulary, *, hidden: bool
) -> _Answers:
    """Of all sentences with such nouns; ``hidden``: with an unknown word in their place."""
    chosen, chances, taught = [], [], []
    for number, scene in enumerate(scenes):
        for place, expression in enumerate(scene.expressions):
            asked = asked_kinds(expression.text, vocabulary)
            if scene.kinds is not None and asked.classes:
                chosen.append((number, place))
                chances.append(chance_of(torch.from_numpy(scene.kinds).float(), asked.classes))
                taught.append(asked.taught and not hidden)
    batch = grounding_batch(np.random.default_rng(0), scenes, chosen, vocabulary, augment=False)
    if hidden:
        texts = [_without_nouns(scenes[number].expressions[place].text) for number, place in chosen]
        batch = replace(batch, words=torch.tensor(vocabulary.encode_padded(texts)))
    chance = torch.stack(chances)
    return _Answers(run(grounding, batch), batch.targets, batch.absent, chance, batch.valid, torch.tensor(taught))


def _without_nouns(text: str) -> str:
    return " ".join(_NO_WORD if word in nouns() else word for word in split_words(text))


@torch.no_grad()
def settle(network: PolicyNetwork, held_out: Sequence[PerceivedScene]) -> dict[str, float]:
    """Choose on every second held-out photograph how much ``network.kinds`` counts, and from which probability on it
    speaks for a noun; what that comes to on the others.

    Chosen is what makes both what is meant, and whether anything is, likeliest over sentences whose nouns were taught
    and the same ones with an unknown word in the noun's place.
    """
    kinds = network.kinds
    if kinds is None:
        return {}
    halves = [[scene for number, scene in enumerate(held_out) if number % 2 == odd] for odd in (0, 1)]
    if not all(_has_nouns(half, network.vocabulary) for half in halves):
        return {}
    choosing, measuring = (
        [_answers(network.grounding, half, network.vocabulary, hidden=hidden) for hidden in (False, True)]
        for half in halves
    )

    def cost(pair: tuple[float, float]) -> float:
        return sum(_cost(some, *pair) for some in choosing)

    trust, neutral = min(product(_TRUSTS, _NEUTRALS), key=cost)
    kinds.trust.fill_(trust)
    kinds.neutral.fill_(neutral)
    measured = {"kinds_trust": trust, "kinds_neutral": neutral}
    for name, some in zip(("taught", "untaught"), measuring, strict=True):
        for when, weight in (("without", 0.0), ("with", trust)):
            measured |= {f"noun_{name}_{what}_{when}_kinds": value for what, value in _shares(some, weight, neutral)}
    return measured


def _has_nouns(scenes: Sequence[PerceivedScene], vocabulary: Vocabulary) -> bool:
    return any(asked_kinds(e.text, vocabulary).classes for scene in scenes for e in scene.expressions)


def _leaning(some: _Answers, trust: float, neutral: float) -> Grounded:
    return lean(some.answer, trust * (some.chance - neutral), some.valid, some.taught)


def _cost(some: _Answers, trust: float, neutral: float) -> float:
    answer = _leaning(some, trust, neutral)
    absent = functional.binary_cross_entropy_with_logits(answer.absent, some.absent.float())
    return float(absent + likelihood(answer.logits, some.targets).mean())


def _shares(some: _Answers, trust: float, neutral: float) -> list[tuple[str, float]]:
    answer = _leaning(some, trust, neutral)
    found = some.targets[:, 1:].any(1)
    best = answer.logits[:, 1:].argmax(1, keepdim=True)
    right = some.targets[:, 1:].gather(1, best)[found].float().mean()
    there, away = answer.absent[~some.absent], answer.absent[some.absent]
    told = (away[:, None] > there).float() + 0.5 * (away[:, None] == there).float()
    return [("right_if_found", round(float(right), 4)), ("absence_auroc", round(float(told.mean()), 4))]
