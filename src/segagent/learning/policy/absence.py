"""When "no such object" is the answer: its probability over perceived pictures, and the bar that is put to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from segagent.learning.policy.scene_store import ABSENT_TARGET
from segagent.learning.policy.train_grounding import PerceivedScene, answered
from segagent.policies.embedded.grounding import Grounding
from segagent.policies.embedded.kinds import Kinds
from segagent.policies.embedded.tokens import Vocabulary

T_ACC = 0.96
"""Share of sentences with a target that must not be answered with "no such object" where the bar is chosen: more than
is promised of others (0.9), for these are made sentences, and people's sound absent more often."""


class Doubted(NamedTuple):
    """Of one sentence: the number of its picture, its kind, whether nothing is meant, the probability given to that."""

    picture: int
    kind: str
    absent: bool
    probability: float


@torch.no_grad()
def doubted(
    network: Grounding, scenes: Sequence[PerceivedScene], vocabulary: Vocabulary, kinds: Kinds | None = None
) -> list[Doubted]:
    """Every sentence about ``scenes``; ``kinds`` as in :func:`answered`."""
    found = []
    for picture, scene in enumerate(scenes):
        if not scene.expressions:
            continue
        chosen = [(picture, number) for number in range(len(scene.expressions))]
        chances = answered(network, scenes, chosen, vocabulary, kinds)[1].absent.sigmoid().tolist()
        for expression, chance in zip(scene.expressions, chances, strict=True):
            found.append(Doubted(picture, expression.kind, expression.target == ABSENT_TARGET, chance))
    return found


def operating_point(sentences: Sequence[Doubted], t_acc: float = T_ACC) -> float | None:
    """The least probability from which on "no such object" may be said and ``t_acc`` of the sentences with a target
    are still not answered so; None where no sentence has a target or none has none.
    """
    there = np.array([s.probability for s in sentences if not s.absent])
    if not len(there) or len(there) == len(sentences):
        return None
    return float(np.nextafter(np.quantile(there, t_acc, method="higher"), 2.0))


def accuracies(sentences: Sequence[Doubted], bar: float) -> dict[str, float]:
    """N-acc: of the sentences that nothing fits, the share answered so at ``bar``, by kind too; T-acc: of the others,
    the share not.
    """
    hits: dict[str, list[bool]] = {}
    for sentence in sentences:
        said = sentence.probability >= bar
        hits.setdefault("N-acc" if sentence.absent else "T-acc", []).append(said == sentence.absent)
        if sentence.absent:
            hits.setdefault(f"N-acc, {sentence.kind}", []).append(said)
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(hits.items())}
