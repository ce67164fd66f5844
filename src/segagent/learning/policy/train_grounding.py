"""Stage 3: which object a sentence means, from pictures perceived once with the detector and object encoder fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segagent.core import Image
from segagent.cpu import autocast
from segagent.learning.photographs.said import ABSENT_SAID, SAID
from segagent.learning.photographs.words import missing_nouns, nouns_in
from segagent.learning.policy.loop import Stage, StageBudget
from segagent.learning.policy.scene_store import ABSENT_TARGET, StoredExpression, StoredScene
from segagent.learning.policy.train_objects import match_objects, mirrored
from segagent.policies.embedded.grounding import Grounded, Grounding
from segagent.policies.embedded.kinds import Kinds, asked_kinds, lean
from segagent.policies.embedded.network import PolicyNetwork
from segagent.policies.embedded.perception import MAX_OBJECTS, Percept, perceive
from segagent.policies.embedded.tokens import MAX_WORDS, PADDING, UNKNOWN, Vocabulary, swap_sides

KIND_WEIGHTS = {"attribute": 1.5, "position": 2.5, "superlative": 2.0, "relation": 3.0}
"""How likely a sentence of each kind is to be drawn; of what is absent, 1.5."""
SAID_SHARE = 0.3
"""Share of the sentences drawn that people said, where there are any: they are few, and what is asked in the end."""
_EXTRA_WORDS, _BORROWED, _SAID_TWICE = 0.25, 0.25, 0.2
_MOST_EXTRA = 8


@dataclass(frozen=True, eq=False)
class PerceivedScene:
    """A scene as the detector sees it, padded to MAX_OBJECTS.

    ``tokens``, ``geometry`` and ``certainty`` as in ``Percept`` but MAX_OBJECTS each, ``num`` objects in use;
    ``truth[i]`` is the true object that found object i is, or -1. ``familiar``: the object encoder was trained on this
    picture's objects, so its tokens are surer than they will be elsewhere. ``missing``: nouns that surely fit nothing
    in the picture. ``kinds`` float16 (MAX_OBJECTS, NUM_KINDS) log-probabilities, None where the network tells no kinds.
    """

    tokens: npt.NDArray[np.float32]
    geometry: npt.NDArray[np.float32]
    certainty: npt.NDArray[np.float32]
    num: int
    truth: npt.NDArray[np.int64]
    expressions: tuple[StoredExpression, ...]
    familiar: bool = False
    missing: frozenset[str] = frozenset()
    kinds: npt.NDArray[np.float16] | None = None


def pad_percept(percept: Percept) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Tokens, geometry and certainty filled with zeros to MAX_OBJECTS."""
    extra = MAX_OBJECTS - len(percept.tokens)
    return (
        functional.pad(percept.tokens, (0, 0, 0, extra)).numpy(),
        functional.pad(percept.geometry, (0, 0, 0, extra)).numpy(),
        functional.pad(percept.certainty, (0, extra)).numpy(),
    )


def perceive_scene(
    network: PolicyNetwork, scene: StoredScene, image: Image | None = None, *, familiar: bool = False
) -> PerceivedScene:
    """Look at one scene, or at ``image``, which shows it in more detail, and find out which object is which;
    ``familiar`` as in :class:`PerceivedScene`.
    """
    percept = perceive(network, image or Image.of(scene.pixels))
    truth = match_objects(percept.coverage.numpy(), scene.labels, len(scene.names))
    padded = np.full(MAX_OBJECTS, -1, np.int64)
    padded[: len(truth)] = truth
    missing = missing_nouns({names[0] for names in scene.names}, scene.told)
    kinds = None
    if percept.kinds is not None:
        kinds = functional.pad(percept.kinds, (0, 0, 0, MAX_OBJECTS - len(truth))).half().numpy()
    return PerceivedScene(*pad_percept(percept), len(truth), padded, scene.expressions, familiar, missing, kinds)


def borrowed(
    rng: np.random.Generator, scene: PerceivedScene, others: Sequence[StoredExpression]
) -> StoredExpression | None:
    """One of ``others``, sentences about other pictures, that names nothing that is in this one; None if none is found
    soon. So what is absent here is said in the very words in which it is said where it is there.
    """
    for _ in range(4):
        other = others[int(rng.integers(len(others)))]
        nouns = nouns_in(other.text)
        if nouns and nouns <= scene.missing and other.target != ABSENT_TARGET:
            return StoredExpression(other.text, ABSENT_TARGET, "absent borrowed", (), None)
    return None


def with_borrowed(scenes: Sequence[PerceivedScene], each: int = 4) -> list[PerceivedScene]:
    """``scenes`` with up to ``each`` sentences of one another that nothing in them fits; the same every time."""
    rng = np.random.default_rng(0)
    others = [expression for scene in scenes for expression in scene.expressions]
    found = []
    for scene in scenes:
        more = {b.text: b for _ in range(each) if others and (b := borrowed(rng, scene, others)) is not None}
        found.append(replace(scene, expressions=(*scene.expressions, *more.values())))
    return found


def said_twice(
    rng: np.random.Generator, expression: StoredExpression, others: Sequence[StoredExpression]
) -> StoredExpression:
    """``expression`` and another of ``others`` about the same thing in one sentence, as people say more than is needed;
    ``expression`` alone where there is none.
    """
    same = [o for o in others if o.target == expression.target and o.text != expression.text]
    if expression.target == ABSENT_TARGET or not same:
        return expression
    more = same[int(rng.integers(len(same)))]
    both = tuple(set(expression.candidates) & set(more.candidates))
    return replace(expression, text=f"{expression.text} {more.text}", candidates=both)


@dataclass(frozen=True, eq=False)
class GroundingBatch:
    """Sentences b against objects: what :class:`Grounding` takes, which objects are the answer (bool, b x 1 + n), and
    of which sentences nothing in the picture is meant, found or not: ``absent`` bool (b,).
    """

    words: Tensor
    tokens: Tensor
    geometry: Tensor
    certainty: Tensor
    valid: Tensor
    targets: Tensor
    candidates: Tensor
    anchors: Tensor
    has_anchor: Tensor
    absent: Tensor


def grounding_batch(
    rng: np.random.Generator,
    scenes: Sequence[PerceivedScene],
    chosen: Sequence[tuple[int, int]],
    vocabulary: Vocabulary,
    *,
    augment: bool,
) -> GroundingBatch:
    """Sentences ``chosen`` as (scene, expression) numbers."""
    texts, tokens, places, certainty, valid = [], [], [], [], []
    num = len(chosen)
    targets = np.zeros((num, MAX_OBJECTS + 1), np.bool_)
    candidates, anchors = np.zeros_like(targets), np.zeros_like(targets)
    expressions = [scenes[s].expressions[e] for s, e in chosen]
    if augment:
        for row in map(int, np.flatnonzero(rng.random(num) < _SAID_TWICE)):
            expressions[row] = said_twice(rng, expressions[row], scenes[chosen[row][0]].expressions)
        asked = list(expressions)
        for row in map(int, np.flatnonzero(rng.random(num) < _BORROWED)):
            expressions[row] = borrowed(rng, scenes[chosen[row][0]], asked) or asked[row]
    for row, ((scene_number, _), expression) in enumerate(zip(chosen, expressions, strict=True)):
        scene = scenes[scene_number]
        mirror = augment and rng.random() < 0.5
        texts.append(swap_sides(expression.text) if mirror else expression.text)
        geometry = scene.geometry
        if augment:
            geometry = geometry + rng.normal(0, 0.004, geometry.shape).astype(np.float32)
        places.append(mirrored(geometry) if mirror else geometry)
        tokens.append(scene.tokens)
        certainty.append(scene.certainty)
        valid.append(np.arange(MAX_OBJECTS) < scene.num)
        targets[row, 1:] = scene.truth == expression.target
        candidates[row, 1:] = np.isin(scene.truth, expression.candidates)
        if expression.anchor is not None:
            anchors[row, 1:] = scene.truth == expression.anchor
        for table in (targets, anchors):
            table[row, 0] = not table[row, 1:].any()
    numbers = torch.tensor(vocabulary.encode_padded(texts))
    if augment:
        numbers = with_unknown_words(rng, numbers)
    token_tensor = torch.from_numpy(np.stack(tokens))
    if augment:
        familiar = np.array([scenes[s].familiar for s, _ in chosen])
        token_tensor = _less_sure(rng, token_tensor, familiar) + torch.randn_like(token_tensor) * 0.02
    return GroundingBatch(
        numbers,
        token_tensor,
        torch.from_numpy(np.stack(places)),
        torch.from_numpy(np.stack(certainty)),
        torch.from_numpy(np.stack(valid)),
        torch.from_numpy(targets),
        torch.from_numpy(candidates),
        torch.from_numpy(anchors),
        torch.tensor([expression.anchor is not None for expression in expressions]),
        torch.tensor([expression.target == ABSENT_TARGET for expression in expressions]),
    )


def with_unknown_words(rng: np.random.Generator, numbers: Tensor) -> Tensor:
    """Words of sentences (b, w) made unknown now and then, and unknown ones put in somewhere, as people's are."""
    numbers = torch.where((numbers > UNKNOWN) & (torch.rand(numbers.shape) < 0.02), UNKNOWN, numbers)
    room = functional.pad(numbers, (0, _MOST_EXTRA), value=PADDING)
    longer = room.clone()
    lengths = (numbers != PADDING).sum(1)
    for row in np.flatnonzero(rng.random(len(numbers)) < _EXTRA_WORDS):
        place, more = int(rng.integers(int(lengths[row]) + 1)), min(int(rng.geometric(0.4)), _MOST_EXTRA)
        longer[row, place + more :] = room[row, place : room.shape[1] - more]
        longer[row, place : place + more] = UNKNOWN
    return longer[:, :MAX_WORDS]


def _less_sure(rng: np.random.Generator, tokens: Tensor, rows: npt.NDArray[np.bool_]) -> Tensor:
    """Most objects' tokens (b, n, t) in ``rows`` (b,) mixed with that of another object, up to three fifths."""
    share = rng.uniform(0, 0.6, tokens.shape[:2]) * (rng.random(tokens.shape[:2]) < 0.7) * rows[:, None]
    other = tokens[torch.from_numpy(rng.permutation(len(tokens)))][
        :, torch.from_numpy(rng.permutation(tokens.shape[1]))
    ]
    mixed: Tensor = torch.lerp(tokens, other, torch.from_numpy(share).float()[..., None])
    return mixed


def run(network: Grounding, batch: GroundingBatch) -> Grounded:
    """The network on a batch."""
    words = network.text(batch.words)
    answer: Grounded = network(words, batch.tokens, batch.geometry, batch.certainty, batch.valid)
    return answer


def answered(
    network: Grounding,
    scenes: Sequence[PerceivedScene],
    chosen: Sequence[tuple[int, int]],
    vocabulary: Vocabulary,
    kinds: Kinds | None = None,
) -> tuple[GroundingBatch, Grounded]:
    """Sentences ``chosen`` as in :func:`grounding_batch`, as they are, and what the policy makes of them: ``kinds``, if
    any, are taken into account.
    """
    batch = grounding_batch(np.random.default_rng(0), scenes, chosen, vocabulary, augment=False)
    answer = run(network, batch)
    if kinds is None:
        return batch, answer
    evidence, taught = torch.zeros(batch.valid.shape), torch.zeros(len(chosen), dtype=torch.bool)
    for row, (number, e) in enumerate(chosen):
        scene = scenes[number]
        if scene.kinds is not None:
            classes, taught[row] = asked_kinds(scene.expressions[e].text, vocabulary)
            evidence[row] = kinds.evidence(torch.from_numpy(scene.kinds).float(), classes)
    return batch, lean(answer, evidence, batch.valid, taught)


def likelihood(logits: Tensor, right: Tensor) -> Tensor:
    """How unlikely (b,), in nats, the ``right`` ones, bool (b, n), are by ``logits``."""
    return torch.logsumexp(logits, 1) - torch.logsumexp(logits.masked_fill(~right, -1e4), 1)


def grounding_loss(answer: Grounded, batch: GroundingBatch) -> tuple[Tensor, dict[str, float]]:
    """Likelihood of the target, plus those of the noun phrase's candidates, of the anchor, and of there being any."""
    target = likelihood(answer.logits, batch.targets).mean()
    anchor = likelihood(answer.anchors, batch.anchors)
    anchor = (anchor * batch.has_anchor).sum() / batch.has_anchor.sum().clamp(min=1)
    fits = functional.binary_cross_entropy_with_logits(
        answer.candidates[:, 1:], batch.candidates[:, 1:].float(), reduction="none"
    )
    fits = (fits * batch.valid).sum() / batch.valid.sum().clamp(min=1)
    best = answer.logits.argmax(1, keepdim=True)
    right = batch.targets.gather(1, best).float().mean()
    absent = functional.binary_cross_entropy_with_logits(answer.absent, batch.absent.float())
    measured = {"target": float(target.detach()), "right": float(right), "absent": float(absent.detach())}
    return target + 0.5 * anchor + fits + absent, measured


def train_grounding(
    work: Path,
    start: Grounding,
    scenes: Sequence[PerceivedScene],
    held_out: Mapping[str, Sequence[PerceivedScene]],
    vocabulary: Vocabulary,
    budget: StageBudget,
    seed: int,
    *,
    resume: bool,
    batch_scale: float = 1.0,
) -> Grounding:
    """Train ``start``, or what its checkpoint has come to; returns the averaged weights."""
    torch.manual_seed(seed)
    stage = Stage("grounding", deepcopy(start).requires_grad_(True), work, budget, resume=resume)
    pool = [(s, e) for s, scene in enumerate(scenes) for e in range(len(scene.expressions))]
    chances = draw_chances([scenes[s].expressions[e].kind for s, e in pool])
    stage.network.train()
    for step in stage.batches():
        rng = np.random.default_rng((seed, 3, step))
        chosen = [pool[int(i)] for i in rng.choice(len(pool), max(2, round(96 * batch_scale)), p=chances)]
        batch = grounding_batch(rng, scenes, chosen, vocabulary, augment=True)
        with autocast():
            answer = run(stage.network, batch)  # type: ignore[arg-type]
        loss, measured = grounding_loss(answer, batch)
        stage.update(loss, **measured)
        if step % 500 == 499:
            assert isinstance(stage.average, Grounding)
            for name, measuring in held_out.items():
                stage.log({f"{name}val": grounding_accuracy(stage.average, measuring, vocabulary)})
    assert isinstance(stage.average, Grounding)
    return stage.average


def draw_chances(kinds: Sequence[str]) -> npt.NDArray[np.float64]:
    """How likely a sentence of each of ``kinds`` is to be drawn; those that people said make up ``SAID_SHARE``."""
    chances = np.array([KIND_WEIGHTS.get(kind, 1.5) for kind in kinds])
    said = np.array([kind in (SAID, ABSENT_SAID) for kind in kinds])
    if said.any() and not said.all():
        chances[said] *= SAID_SHARE / (1 - SAID_SHARE) * chances[~said].sum() / chances[said].sum()
    shares: npt.NDArray[np.float64] = chances / chances.sum()
    return shares


@torch.no_grad()
def grounding_accuracy(
    network: Grounding, scenes: Sequence[PerceivedScene], vocabulary: Vocabulary, kinds: Kinds | None = None
) -> dict[str, float]:
    """Share of sentences whose most likely found object is the target, by kind and over all.

    Where nothing is meant (kinds "absent ...", not in "all"): the share for which "none of them" is likelier than not.
    """
    hits: dict[str, list[float]] = {}
    pool = [(s, e) for s, scene in enumerate(scenes) for e in range(len(scene.expressions))]
    for first in range(0, len(pool), 128):
        chosen = pool[first : first + 128]
        batch, answer = answered(network, scenes, chosen, vocabulary, kinds)
        logits = answer.logits
        right = batch.targets[:, 1:].gather(1, logits[:, 1:].argmax(1, keepdim=True))[:, 0]
        none = logits.softmax(1)[:, 0] > 0.5
        for (s, e), hit, refused in zip(chosen, right.tolist(), none.tolist(), strict=True):
            absent = scenes[s].expressions[e].target == ABSENT_TARGET
            hits.setdefault(scenes[s].expressions[e].kind, []).append(float(refused if absent else hit))
            if not absent:
                hits.setdefault("all", []).append(float(hit))
    return {kind: round(float(np.mean(values)), 4) for kind, values in sorted(hits.items())}
