"""What an audit and a repair of masks that were spoiled in known ways are worth, with 95 % intervals by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.evaluation.bootstrap import Interval, bootstrap_difference, bootstrap_ratio, bootstrap_statistic
from segagent.evaluation.filtering import auroc

NAMED: dict[str, str] = {
    "clean": "ok",
    "dilate": "spill",
    "merge": "spill",
    "erode": "missing part",
    "cut": "missing part",
    "shift": "rough edge",
    "coarse": "rough edge",
    "swap": "wrong object",
    "wrong object": "wrong object",
}
"""What an audit should say of each kind of corruption."""


@dataclass(frozen=True, slots=True)
class Mended:
    """A mask with a known fault: what the audit says (``expected`` IoU, ``score`` it is ordered by, likely error), and
    true IoUs before and after the refine.
    """

    image: str
    kind: str
    expected: float
    score: float
    label: str
    before: float
    after: float
    repaired: bool


@dataclass(frozen=True, slots=True)
class RepairMetrics:
    """``auroc``: of "spoiled" by the expected IoU; ``auroc_score``: by the audit's score; ``aurocs``: each kind against
    the clean ones by that score.

    ``accuracy``: of the likely error, ``confusion`` its counts by kind. ``before`` and ``after``: mean true IoU of a
    group (``clean``, ``spoiled``, each kind), ``gain`` their paired difference, ``repaired``, ``worsened``
    (true IoU lower than before) and ``count`` how many.
    """

    count: dict[str, int]
    auroc: Interval
    auroc_score: Interval
    aurocs: dict[str, Interval]
    accuracy: Interval
    confusion: dict[str, dict[str, int]]
    before: dict[str, Interval]
    after: dict[str, Interval]
    gain: dict[str, Interval]
    repaired: dict[str, int]
    worsened: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "count": self.count,
            "auroc": self.auroc.to_dict(),
            "auroc_score": self.auroc_score.to_dict(),
            "aurocs": {kind: one.to_dict() for kind, one in self.aurocs.items()},
            "accuracy": self.accuracy.to_dict(),
            "confusion": self.confusion,
            **{
                name: {group: one.to_dict() for group, one in getattr(self, name).items()}
                for name in ("before", "after", "gain")
            },
            "repaired": self.repaired,
            "worsened": self.worsened,
        }


def repair_metrics(masks: Sequence[Mended]) -> RepairMetrics:
    """All metrics of ``masks``. Raises ``ValueError`` without any."""
    if not masks:
        raise ValueError("no masks to measure")
    kinds = [kind for kind in NAMED if any(one.kind == kind for one in masks)]
    clean = [one for one in masks if one.kind == "clean"]
    groups = {"spoiled": [one for one in masks if one.kind != "clean"]}
    groups |= {kind: [one for one in masks if one.kind == kind] for kind in kinds}
    groups = {name: group for name, group in groups.items() if group}
    confusion: dict[str, Counter[str]] = {kind: Counter() for kind in kinds}
    for one in masks:
        confusion[one.kind][one.label] += 1
    return RepairMetrics(
        count={name: len(group) for name, group in groups.items()},
        auroc=_separated(masks, lambda one: one.expected),
        auroc_score=_separated(masks, _score),
        aurocs={kind: _separated([*clean, *groups[kind]], _score) for kind in kinds if kind != "clean"},
        accuracy=bootstrap_ratio([float(one.label == NAMED[one.kind]) for one in masks], None, _images(masks)),
        confusion={kind: dict(sorted(counts.items())) for kind, counts in confusion.items()},
        before={name: _mean(group, lambda one: one.before) for name, group in groups.items()},
        after={name: _mean(group, lambda one: one.after) for name, group in groups.items()},
        gain={
            name: bootstrap_difference(
                ([one.after for one in group], None), ([one.before for one in group], None), _images(group)
            )
            for name, group in groups.items()
        },
        repaired={name: sum(one.repaired for one in group) for name, group in groups.items()},
        worsened={name: sum(one.after < one.before for one in group) for name, group in groups.items()},
    )


def _images(masks: Sequence[Mended]) -> list[str]:
    return [one.image for one in masks]


def _mean(masks: Sequence[Mended], value: Callable[[Mended], float]) -> Interval:
    return bootstrap_ratio([value(one) for one in masks], None, _images(masks))


def _score(one: Mended) -> float:
    return one.score


def _separated(masks: Sequence[Mended], value: Callable[[Mended], float]) -> Interval:
    """AUROC of "spoiled" by how low a value is."""
    scores = np.array([-value(one) for one in masks])
    spoiled = np.array([one.kind != "clean" for one in masks])

    def statistic(rows: npt.NDArray[np.int64]) -> float:
        return auroc(scores[rows].tolist(), spoiled[rows].tolist())

    return bootstrap_statistic(statistic, _images(masks))
