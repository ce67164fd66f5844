"""Metrics as sums that add up, kept image by image so that intervals can be had by resampling images.

Every metric that is a mean, or a ratio of totals as cIoU is, is a pair (sum of what is above the line, sum of what is
below). What is no such ratio, the agreement of predicted and true IoU, keeps its pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from segagent.evaluation.bootstrap import Interval, bootstrap_ratios, bootstrap_statistics
from segagent.evaluation.calibration import expected_calibration_error
from segagent.evaluation.filtering import auroc, filtering_metrics

Ratio: TypeAlias = tuple[float, float]
"""Above and below the line, both sums."""

Pair: TypeAlias = tuple[float, float]
"""Predicted and true IoU of one mask, in [0, 1]."""

_RESAMPLES_OF_PAIRS = 200


@dataclass(frozen=True, slots=True)
class ImageSums:
    """What one image adds: a ratio by metric name, and the masks whose IoU was predicted."""

    ratios: Mapping[str, Ratio] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Sums:
    """Metrics of some samples. ``a + b`` are those of both; in which order does not matter."""

    images: Mapping[str, ImageSums] = field(default_factory=dict)

    @staticmethod
    def of(image: str, ratios: Mapping[str, Ratio], pairs: Sequence[Pair] = ()) -> Sums:
        """The sums of one sample of ``image``."""
        return Sums({image: ImageSums(dict(ratios), tuple(pairs))})

    @staticmethod
    def total(parts: Iterable[Sums]) -> Sums:
        """All ``parts`` together, in one pass."""
        ratios: dict[str, dict[str, Ratio]] = {}
        pairs: dict[str, list[Pair]] = {}
        for part in parts:
            for image, sums in part.images.items():
                mine = ratios.setdefault(image, {})
                for name, (above, below) in sums.ratios.items():
                    before = mine.get(name, (0.0, 0.0))
                    mine[name] = before[0] + above, before[1] + below
                pairs.setdefault(image, []).extend(sums.pairs)
        return Sums({image: ImageSums(ratios[image], tuple(sorted(pairs[image]))) for image in sorted(ratios)})

    def __add__(self, other: Sums) -> Sums:
        """Both together."""
        return Sums.total([self, other])

    @property
    def names(self) -> list[str]:
        """Names of all ratios, sorted."""
        return sorted({name for sums in self.images.values() for name in sums.ratios})

    @property
    def pairs(self) -> list[tuple[float, float, str]]:
        """(predicted IoU, true IoU, image) of every mask that has both."""
        return [(p, t, image) for image in sorted(self.images) for p, t in self.images[image].pairs]

    def sum_of(self, name: str) -> Ratio:
        """Totals of the metric ``name``, above and below the line."""
        found = [self.images[image].ratios[name] for image in sorted(self.images) if name in self.images[image].ratios]
        return math.fsum(above for above, _ in found), math.fsum(below for _, below in found)

    def value_of(self, name: str) -> float:
        """The metric itself; nan where nothing was counted."""
        above, below = self.sum_of(name)
        return above / below if below else math.nan

    def intervals(self, *, num_resamples: int = 1000, seed: int = 0) -> dict[str, Interval]:
        """Every ratio with its 95 % interval by image; those that nothing was counted for are left out."""
        names = self.names
        if not names:
            return {}
        table = np.array(
            [[self.images[image].ratios.get(name, (0.0, 0.0)) for name in names] for image in sorted(self.images)]
        )
        found = bootstrap_ratios(table[:, :, 0], table[:, :, 1], num_resamples=num_resamples, seed=seed)
        return {name: interval for name, interval in zip(names, found, strict=True) if math.isfinite(interval.value)}


def agreement(
    pairs: Sequence[tuple[float, float, str]], *, num_resamples: int = _RESAMPLES_OF_PAIRS
) -> dict[str, Interval]:
    """How well predicted and true IoU agree, with 95 % intervals by image.

    ``predicted IoU MAE`` and ``MSE`` are in fractions (the paper's Table 3 prints 100 and 10,000 times these),
    ``Pearson`` and ``Spearman`` in [-1, 1], ``ECE`` the expected calibration error over ten bins, ``AUROC@80`` how well
    the prediction tells masks with an IoU of at least 0.8 from the others, and ``accepted@80``, ``accepted@90`` the
    largest share of masks, best-scored first, of which 95 % truly reach that IoU.
    """
    if not pairs:
        return {}
    predicted, true = (np.array([pair[place] for pair in pairs], np.float64) for place in (0, 1))

    def all_of(rows: np.ndarray[Any, Any]) -> dict[str, float]:
        return _agreement_of(predicted[rows].tolist(), true[rows].tolist())

    return bootstrap_statistics(all_of, [image for _, _, image in pairs], num_resamples=num_resamples)


def _agreement_of(predicted: Sequence[float], true: Sequence[float]) -> dict[str, float]:
    found = filtering_metrics(predicted, true)
    return {
        "predicted IoU MAE": found.mae / 100,
        "predicted IoU MSE": found.mse / 10_000,
        "Pearson": found.pearson,
        "Spearman": found.spearman,
        "ECE": expected_calibration_error(predicted, true),
        "AUROC@80": auroc(predicted, [iou >= 0.8 for iou in true]),
        **{f"accepted@{round(100 * threshold)}": share for threshold, share in found.accepted.items()},
    }
