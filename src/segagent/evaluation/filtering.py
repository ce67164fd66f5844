"""Annotation filtering: can the predicted IoU tell good masks from bad ones? (paper Table 3)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata


@dataclass(frozen=True, slots=True)
class FilteringMetrics:
    """Agreement of predicted and true IoU over masks.

    ``mae`` and ``mse`` are in percentage points and squared percentage points, as the paper prints them; ``pearson``
    and ``spearman`` in [-1, 1] (nan where either side is constant). ``accepted`` maps an IoU threshold to the largest
    share of masks that can be accepted, best-scored first, such that at least ``precision`` of them truly reach the
    threshold.
    """

    count: int
    mae: float
    mse: float
    pearson: float
    spearman: float
    precision: float
    accepted: dict[float, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "count": self.count,
            "mae": self.mae,
            "mse": self.mse,
            "pearson": self.pearson,
            "spearman": self.spearman,
            "precision": self.precision,
            "accepted": {str(threshold): share for threshold, share in self.accepted.items()},
        }


def filtering_metrics(
    predicted: Sequence[float],
    true: Sequence[float],
    *,
    thresholds: Sequence[float] = (0.8, 0.9),
    precision: float = 0.95,
) -> FilteringMetrics:
    """Metrics of Table 3 for equally long sequences of IoUs in [0, 1]. Raises ``ValueError`` without samples."""
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if x.size == 0 or x.shape != y.shape:
        raise ValueError(f"need as many predictions as true values and at least one, got {x.shape} and {y.shape}")
    return FilteringMetrics(
        count=int(x.size),
        mae=float(100 * np.abs(x - y).mean()),
        mse=float(1e4 * ((x - y) ** 2).mean()),
        pearson=_correlation(x, y),
        spearman=_correlation(rankdata(x), rankdata(y)),
        precision=precision,
        accepted={t: accepted_share(predicted, true, threshold=t, precision=precision) for t in thresholds},
    )


def accepted_share(
    predicted: Sequence[float], true: Sequence[float], *, threshold: float, precision: float = 0.95
) -> float:
    """Largest share of masks, best-scored first, of which at least ``precision`` have a true IoU of ``threshold``.

    Masks with equal scores are accepted together or not at all, since a score cannot tell them apart.
    """
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    order = np.argsort(-x, kind="stable")
    good = np.cumsum(y[order] >= threshold)
    taken = np.arange(1, x.size + 1)
    complete = np.append(x[order][1:] != x[order][:-1], True)
    enough = complete & (good >= precision * taken - 1e-9)
    return float(taken[enough].max() / x.size) if enough.any() else 0.0


def auroc(scores: Sequence[float], positive: Sequence[bool]) -> float:
    """How often a positive has a higher score than a negative, equal scores counting half; nan without both."""
    x, y = np.asarray(scores, np.float64), np.asarray(positive, np.bool_)
    num_positive, num_negative = int(y.sum()), int((~y).sum())
    if not num_positive or not num_negative:
        return float("nan")
    won = float(rankdata(x)[y].sum()) - num_positive * (num_positive + 1) / 2
    return won / (num_positive * num_negative)


def _correlation(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    if x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])
