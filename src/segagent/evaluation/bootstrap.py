"""Confidence intervals by resampling."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


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
    resampled as a whole, since samples of one image are not independent. Raises ``ValueError`` without samples.
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


def bootstrap_difference(
    first: tuple[Sequence[float], Sequence[float] | None],
    second: tuple[Sequence[float], Sequence[float] | None],
    groups: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """``first`` minus ``second``, each (numerators, denominators) as in :func:`bootstrap_ratio`, paired.

    Row i of both belongs to ``groups[i]`` (the image); both are resampled with the same groups, so what an image has
    of its own difficulty cancels out. Raises ``ValueError`` without samples or where the lengths differ.
    """
    tops, bottoms = [], []
    _, index = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    for numerators, denominators in (first, second):
        top = np.asarray(numerators, np.float64)
        bottom = np.ones_like(top) if denominators is None else np.asarray(denominators, np.float64)
        if top.size == 0 or not top.size == bottom.size == len(groups):
            raise ValueError(f"need as many values as groups and at least one, got {top.size} and {len(groups)}")
        tops.append(np.bincount(index, top))
        bottoms.append(np.bincount(index, bottom))
    draws = np.random.default_rng(seed).integers(tops[0].size, size=(num_resamples, tops[0].size))
    ratios = [top[draws].sum(axis=1) / bottom[draws].sum(axis=1) for top, bottom in zip(tops, bottoms, strict=True)]
    value = tops[0].sum() / bottoms[0].sum() - tops[1].sum() / bottoms[1].sum()
    return _around(float(value), ratios[0] - ratios[1], confidence)


def bootstrap_statistics(
    statistics: Callable[[npt.NDArray[np.int64]], Mapping[str, float]],
    groups: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    num_resamples: int = 500,
    seed: int = 0,
) -> dict[str, Interval]:
    """Any ``statistics`` of rows, each with a percentile interval, all from one set of resamples.

    They are given row numbers, some more than once, and are called by name. ``groups`` as in :func:`bootstrap_ratio`.
    Resamples for which one is nan are left out of its interval. Raises ``ValueError`` without rows.
    """
    if not len(groups):
        raise ValueError("no samples to average")
    _, index = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    members = [np.flatnonzero(index == number) for number in range(int(index.max()) + 1)]
    rng = np.random.default_rng(seed)
    drawn = [
        statistics(np.concatenate([members[number] for number in rng.integers(len(members), size=len(members))]))
        for _ in range(num_resamples)
    ]
    whole = statistics(np.arange(len(groups)))
    return {name: _around(value, [one[name] for one in drawn], confidence) for name, value in whole.items()}


def bootstrap_statistic(
    statistic: Callable[[npt.NDArray[np.int64]], float],
    groups: Sequence[Hashable],
    *,
    num_resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """:func:`bootstrap_statistics` of one."""
    return bootstrap_statistics(lambda rows: {"": statistic(rows)}, groups, num_resamples=num_resamples, seed=seed)[""]


def bootstrap_unpaired(
    first: Sequence[float],
    second: Sequence[float],
    *,
    confidence: float = 0.95,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean of ``first`` minus mean of ``second``, independent sets. Raises ``ValueError`` without samples."""
    rng = np.random.default_rng(seed)
    means, values = [], []
    for samples in (first, second):
        one = np.asarray(samples, np.float64)
        if one.size == 0:
            raise ValueError("no samples to average")
        means.append(float(one.mean()))
        values.append(one[rng.integers(one.size, size=(num_resamples, one.size))].mean(axis=1))
    return _around(means[0] - means[1], values[0] - values[1], confidence)


def _around(value: float, resampled: npt.ArrayLike, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    return _between(value, resampled, tail, 1 - tail)


def _between(value: float, resampled: npt.ArrayLike, lower: float, upper: float) -> Interval:
    """``value`` between two quantiles of those of its resamples that are known; nan where none is."""
    values = np.asarray(resampled, np.float64)
    known = values[np.isfinite(values)]
    low, high = np.quantile(known, [lower, upper]) if known.size else (np.nan, np.nan)
    return Interval(value, float(low), float(high))


def bootstrap_ratios(
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    *,
    confidence: float = 0.95,
    num_resamples: int = 1000,
    seed: int = 0,
) -> list[Interval]:
    """Many ratios of sums from one set of resamples: ``numerators`` and ``denominators`` are (groups, ratios).

    Rows (images) are resampled as a whole and the sums taken anew. A resample whose denominator is 0 is left out of
    that ratio's interval. A ratio whose whole denominator is 0 is nan. Raises ``ValueError`` without rows.
    """
    if numerators.ndim != 2 or numerators.shape != denominators.shape or not numerators.shape[0]:
        raise ValueError(f"need equal (groups, ratios) with a group, got {numerators.shape}, {denominators.shape}")
    size = numerators.shape[0]
    rng = np.random.default_rng(seed)
    resampled = np.empty((num_resamples, numerators.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        for number in range(num_resamples):
            counts = np.bincount(rng.integers(size, size=size), minlength=size).astype(np.float64)
            resampled[number] = (counts @ numerators) / (counts @ denominators)
        values = numerators.sum(axis=0) / denominators.sum(axis=0)
    return [_around(float(value), resampled[:, column], confidence) for column, value in enumerate(values)]
