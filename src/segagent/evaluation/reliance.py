"""Which masks can be relied on: how often masks with a predicted IoU turn out good enough, and where to draw the line.

The chance that a mask is good (true IoU at least a bar) is fitted on cases whose truth is known, as a monotone function
of the predicted IoU: bins of about equally many cases, made monotone by isotonic regression. Bins that the regression
joins count as one, and to each of these half a good and half a bad case is added (Jeffreys' prior), so twenty good ones
of twenty are not taken for certainty. The uncertainty is that of Bayesian bootstrap: images, and the added halves, are
weighed anew at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from segagent.evaluation.bootstrap import Interval

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_CASES_PER_BIN = 10
_MAX_BINS = 20


def num_bins(cases: float) -> int:
    """How many bins so many cases are worth: at most 20, of 10 or more cases."""
    return int(np.clip(cases // _CASES_PER_BIN, 1, _MAX_BINS))


@dataclass(frozen=True)
class Reliance:
    """What is known: equally long ``predicted`` IoU, whether the mask was ``good``, ``weight``, and ``image``.

    A weight of 1 is one case; of evidence that should count for less, below 1. Cases of one image go together.
    Raises ``ValueError`` without a case of weight above 0.
    """

    predicted: Floats
    good: npt.NDArray[np.bool_]
    weight: Floats
    image: Rows
    num_draws: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.predicted.size == self.good.size == self.weight.size == self.image.size:
            raise ValueError("need a predicted IoU, a verdict, a weight and an image for each case")
        if not self.weight.sum() > 0:
            raise ValueError("nothing is known: no case counts for anything")

    @staticmethod
    def of(predicted: Sequence[float], good: Sequence[bool], image: Sequence[int] | None = None) -> Reliance:
        """Cases that count fully; each of its own image where ``image`` is None."""
        size = len(predicted)
        return Reliance(
            np.asarray(predicted, np.float64),
            np.asarray(good, np.bool_),
            np.ones(size),
            np.arange(size) if image is None else np.asarray(image, np.int64),
        )

    def chance(self, predicted: Floats) -> Floats:
        """P(good) of masks that are predicted ``predicted``, rising with it, above 0 and below 1."""
        return self._read(self._fitted(self.weight, None), predicted)

    def share_good(self, predicted: Floats, *, confidence: float = 0.95) -> Interval:
        """The expected share of good ones among masks predicted ``predicted``, and where the real share will lie.

        The interval holds both what the cases leave open and the luck of so many masks. Raises ``ValueError`` for none.
        """
        if not predicted.size:
            raise ValueError("no masks, no share")
        values, counts = np.unique(predicted, return_counts=True)
        rng = np.random.default_rng(self.seed)
        means = np.array([self._read(fitted, values) @ counts / predicted.size for fitted in self._draws])
        shares = rng.binomial(predicted.size, np.clip(means, 0, 1)) / predicted.size
        tail = (1 - confidence) / 2
        low, high = np.quantile(shares, [tail, 1 - tail])
        return Interval(float(self.chance(values) @ counts / predicted.size), float(low), float(high))

    def threshold(self, predicted: Floats, target: float) -> float | None:
        """The lowest of the values ``predicted`` such that of the masks from there on a share ``target`` is expected
        to be good; None where no line is high enough, or there are no masks.
        """
        values, counts = np.unique(predicted, return_counts=True)
        # From the highest down: the chance falls, so the mean from the top falls too, but for rounding.
        good = np.cumsum((self.chance(values) * counts)[::-1])
        reached = good / np.cumsum(counts[::-1]) >= target - 1e-12
        return float(values[::-1][np.flatnonzero(reached)[-1]]) if reached.any() else None

    @cached_property
    def _bins(self) -> Rows:
        """A bin for each case, by predicted IoU; equal predictions share one."""
        total = self.weight.sum()
        number = num_bins(total)
        _, value = np.unique(self.predicted, return_inverse=True)
        share = np.cumsum(np.bincount(value, self.weight)) / total
        rank = np.minimum(np.ceil(share * number - 1e-9).astype(np.int64) - 1, number - 1)
        bins: Rows = np.unique(rank[value], return_inverse=True)[1].astype(np.int64)
        return bins

    @cached_property
    def _centres(self) -> Floats:
        weight = np.maximum(self.weight, 1e-9)
        return np.bincount(self._bins, weight * self.predicted) / np.bincount(self._bins, weight)

    @cached_property
    def _draws(self) -> list[Floats]:
        rng = np.random.default_rng(self.seed)
        _, image = np.unique(self.image, return_inverse=True)
        # One draw per image, its spread that of so many cases as it counts for; Gamma(1) for full weight.
        heaviest = np.zeros(int(image.max()) + 1)
        np.maximum.at(heaviest, image, self.weight)
        relative = self.weight / np.maximum(heaviest[image], 1e-12)
        return [self._fitted(rng.gamma(heaviest)[image] * relative, rng) for _ in range(self.num_draws)]

    def _fitted(self, weight: Floats, rng: np.random.Generator | None) -> Floats:
        """The chance at each bin's centre."""
        good = np.bincount(self._bins, weight * self.good)
        every = np.maximum(np.bincount(self._bins, weight), 1e-12)
        joined = isotonic_regression(good / every, weights=every)
        edges = joined.blocks
        good, every = np.add.reduceat(good, edges[:-1]), np.add.reduceat(every, edges[:-1])
        halves = np.full((2, good.size), 0.5) if rng is None else rng.gamma(0.5, size=(2, good.size))
        total = every + halves.sum(axis=0)
        chance = isotonic_regression((good + halves[0]) / total, weights=total).x
        fitted: Floats = np.repeat(chance, np.diff(edges))
        return fitted

    def _read(self, fitted: Floats, predicted: Floats) -> Floats:
        return np.interp(predicted, self._centres, fitted)
