"""Table 3 in miniature: can the predicted IoU tell good masks from bad ones, before and after calibration?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from segagent.evaluation.bootstrap import bootstrap_statistics
from segagent.evaluation.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
    reliability,
)
from segagent.evaluation.filtering import FilteringMetrics, filtering_metrics

Pairs: TypeAlias = Sequence[tuple[float, float, str]]
"""(predicted IoU, true IoU, image) of masks."""

_RESAMPLES = 300
_PRECISION = 0.95


def filtering_row(pairs: Pairs, calibration: Calibration | None) -> dict[str, Any]:
    """Every metric of Table 3 with a 95 % interval by image, the reliability diagram, and the calibration's effect."""
    if not pairs:
        return {}
    predicted, true = (np.array([pair[i] for pair in pairs], np.float64) for i in (0, 1))
    images = [image for _, _, image in pairs]
    row: dict[str, Any] = {
        "count": len(pairs),
        "images": len(set(images)),
        "precision": _PRECISION,
        **_with_intervals(predicted, true, images),
        "share_good": {str(t): float((true >= t).mean()) for t in (0.8, 0.9)},
        "ece": expected_calibration_error(predicted.tolist(), true.tolist()),
        "reliability": [asdict(one) for one in reliability(predicted.tolist(), true.tolist())],
    }
    if calibration is not None:
        corrected = np.array([calibration(value) for value in predicted])
        row["calibrated"] = {
            "ece": expected_calibration_error(corrected.tolist(), true.tolist()),
            "mae": float(100 * np.abs(corrected - true).mean()),
            "reliability": [asdict(one) for one in reliability(corrected.tolist(), true.tolist())],
        }
    return row


def fit_on(pairs: Pairs) -> Calibration | None:
    """The isotonic calibration of the masks of the val splits; None without any."""
    return fit_calibration([p for p, _, _ in pairs], [t for _, t, _ in pairs]) if pairs else None


def _with_intervals(
    predicted: npt.NDArray[np.float64], true: npt.NDArray[np.float64], images: Sequence[str]
) -> dict[str, Any]:
    """Each metric as value, low, high; all of them from one set of resamples."""

    def all_metrics(rows: npt.NDArray[np.int64]) -> dict[str, float]:
        return _flat(filtering_metrics(predicted[rows].tolist(), true[rows].tolist(), precision=_PRECISION))

    found = bootstrap_statistics(all_metrics, images, num_resamples=_RESAMPLES)
    return {name: interval.to_dict() for name, interval in found.items()}


def _flat(metrics: FilteringMetrics) -> dict[str, float]:
    accepted = {f"accepted@{threshold:g}": share for threshold, share in metrics.accepted.items()}
    known = {"mae": metrics.mae, "mse": metrics.mse, "pearson": metrics.pearson, "spearman": metrics.spearman}
    return {**known, **accepted}
