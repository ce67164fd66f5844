"""Confidence intervals by resampling."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the bounds of its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Like ``0.713 [0.690, 0.735]``."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_dict(self) -> dict[str, float]:
        """JSON form."""
        return {"value": self.value, "low": self.low, "high": self.high}


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float] | None = None,
    groups: Sequence[Hashable] | None = None,
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Sum of ``numerators`` over sum of ``denominators``, with a percentile bootstrap interval.

    With ``denominators`` None (all 1) this is the mean. ``groups`` (one per sample, for example the image) are
    resampled as a whole, since
    samples of one image are not independent. Raises ``ValueError`` without samples.
    """
    top = np.asarray(numerators, np.float64)
    if top.size == 0:
        raise ValueError("no samples to average")
    bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, np.float64)
    if groups is not None:
        _, index = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
        top = np.bincount(index, top).astype(np.float64)
        bottom = np.bincount(index, bottom).astype(np.float64)
    rng = np.random.default_rng(seed)
    draws = rng.integers(top.size, size=(num_resamples, top.size))
    ratios = top[draws].sum(axis=1) / bottom[draws].sum(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(ratios, [tail, 1 - tail])
    return Interval(float(top.sum() / bottom.sum()), float(low), float(high))
