"""How far a predicted IoU can be trusted, and how to correct it.

A calibration is fitted on validation states and stored with the model (``Calibration.to_dict``); it maps what the PRM
says to what such masks turn out to be. It is monotone, so it changes no choice of a search, only the number that people
read. The masks it was fitted on are kept beside it, as :class:`~segagent.evaluation.evidence.Evidence`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression

from segagent.core import InputError
from segagent.core.texts import read_json
from segagent.evaluation.evidence import Evidence

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Calibration:
    """A monotone piecewise linear map of predicted IoU to expected IoU, both in [0, 1], given by its knots.

    ``doubted``: another map for masks of which the policy itself has doubts, where it was fitted; else this one is
    used for those too.
    """

    predicted: tuple[float, ...]
    expected: tuple[float, ...]
    doubted: Calibration | None = None

    def __call__(self, predicted_iou: float, doubted: bool = False) -> float:
        """The expected true IoU of masks that were given ``predicted_iou``; beyond the outer knots it is constant."""
        if doubted and self.doubted is not None:
            return self.doubted(predicted_iou)
        return float(np.interp(predicted_iou, self.predicted, self.expected))

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        doubted = {} if self.doubted is None else {"doubted": self.doubted.to_dict()}
        return {"predicted": list(self.predicted), "expected": list(self.expected), **doubted}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Calibration:
        """Inverse of :meth:`to_dict`. Raises ``ValueError`` for knots that are no monotone map of [0, 1]."""
        try:
            knots = tuple(tuple(float(v) for v in data[name]) for name in ("predicted", "expected"))
            doubted = None if data.get("doubted") is None else Calibration.from_dict(data["doubted"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"calibration is damaged: {type(error).__name__} {error}") from error
        predicted, expected = knots
        rising = all(a < b for a, b in itertools.pairwise(predicted)) and sorted(expected) == list(expected)
        if not predicted or len(predicted) != len(expected) or not rising or not 0 <= expected[0] <= expected[-1] <= 1:
            raise ValueError("calibration is damaged: expected as many rising knots in 'predicted' as in 'expected'")
        return Calibration(predicted, expected, doubted)


CALIBRATION_FILE = "calibration.json"


def calibration_file(policy: str) -> Path | None:
    """Where the calibration of a policy lies that is given by its specification; None for kinds without a folder.

    "embedded" has it beside its weights in the package, "embedded:DIR", "hf:DIR" and "vllm:DIR" in the model's folder.
    """
    scheme, _, rest = policy.partition(":")
    if policy == "embedded":
        return Path(str(files("segagent") / "weights" / CALIBRATION_FILE))
    folder = Path(rest.partition("?")[0])
    return folder / CALIBRATION_FILE if scheme in ("embedded", "hf", "vllm") and rest and folder.is_dir() else None


def load_calibration(policy: str) -> Calibration | None:
    """The calibration stored with a policy, None where there is none. Raises ``InputError`` for a damaged file."""
    return load_with_evidence(policy)[0]


def load_with_evidence(policy: str) -> tuple[Calibration | None, Evidence | None]:
    """The calibration stored with a policy and what it was fitted on; None for what is not there, as in old files.

    Raises ``InputError`` for a damaged file.
    """
    path = calibration_file(policy)
    return (None, None) if path is None or not path.exists() else read_calibration(path)


def stored_notes(policy: str) -> dict[str, Any]:
    """How the calibration stored with a policy was fitted. Raises ``InputError`` where there is none."""
    path = calibration_file(policy)
    if path is None or not path.exists():
        raise InputError(f"policy {policy!r:.200} has no calibration")
    read_calibration(path)
    return dict(read_json(path).get("notes") or {})


def read_calibration(path: Path) -> tuple[Calibration, Evidence | None]:
    """The calibration of a file, and what it was fitted on, if kept. Raises ``InputError`` for a damaged file."""
    try:
        data = read_json(path)
        evidence = data.get("evidence")
        return Calibration.from_dict(data), None if evidence is None else Evidence.from_dict(evidence)
    except (InputError, ValueError, AttributeError) as error:
        raise InputError(f"{path}: no calibration ({error}); remove it, or make it anew: segagent calibrate") from error


def calibration_content(calibration: Calibration, evidence: Evidence | None, notes: Mapping[str, Any]) -> str:
    """The text of a calibration's file; :func:`read_calibration` reads it. Much evidence is thinned."""
    data: dict[str, Any] = {**calibration.to_dict(), "notes": dict(notes)}
    if evidence is not None:
        data["evidence"] = evidence.thinned().to_dict()
    return json.dumps(data) + "\n"


def save_calibration(
    policy: str, calibration: Calibration, notes: Mapping[str, Any], evidence: Evidence | None = None
) -> Path:
    """Store a calibration with its policy, with ``notes`` on how it was fitted and, thinned, what it was fitted on.

    Raises ``InputError`` if it cannot.
    """
    path = calibration_file(policy)
    if path is None:
        raise InputError(
            f"policy {policy!r:.200} has no folder to store a calibration in; expected embedded:DIR or hf:DIR"
        )
    try:
        path.write_text(calibration_content(calibration, evidence, notes), encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def fit_calibration(
    predicted: Sequence[float], true: Sequence[float], *, weight: Sequence[float] | None = None, num_bins: int = 20
) -> Calibration:
    """Isotonic fit of ``true`` IoU on ``predicted`` IoU (equally long, in [0, 1]); ``weight`` None counts all fully.

    The knots are means of ``num_bins`` equally filled bins, made monotone by isotonic regression (pool adjacent
    violators): smooth enough not to copy single samples. Below the lowest bin the map falls to 0 at 0: an agent's own
    masks are seldom scored so low, and what little is there says nothing of given masks of something else.
    Raises ``ValueError`` without samples.
    """
    x, y = _pair(predicted, true)
    # Equal predictions belong in one bin, else their order in the input would matter.
    _, inverse = np.unique(x, return_inverse=True)
    each = np.ones(x.size) if weight is None else np.asarray(weight, np.float64)
    share = (np.cumsum(np.bincount(inverse, each)) - 1) * num_bins // each.sum()
    _, bins = np.unique(share[inverse], return_inverse=True)
    weights = np.bincount(bins, each)
    centres = np.bincount(bins, each * x) / weights
    means = np.bincount(bins, each * y) / weights
    fitted = isotonic_regression(means, weights=weights).x
    knots = [(float(x), float(y)) for x, y in zip(centres, np.clip(fitted, 0, 1), strict=True)]
    if knots[0][0] > 0:
        knots.insert(0, (0.0, 0.0))
    return Calibration(tuple(x for x, _ in knots), tuple(y for _, y in knots))


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of a reliability diagram: samples whose prediction lies in [low, high)."""

    low: float
    high: float
    count: int
    mean_predicted: float
    mean_true: float


def reliability(predicted: Sequence[float], true: Sequence[float], *, num_bins: int = 10) -> list[ReliabilityBin]:
    """Reliability diagram over equally wide bins of [0, 1]; empty bins are left out."""
    x, y = _pair(predicted, true)
    index = np.minimum((x * num_bins).astype(np.int64), num_bins - 1)
    bins = []
    for number in np.unique(index):
        chosen = index == number
        bins.append(
            ReliabilityBin(
                float(number / num_bins),
                float((number + 1) / num_bins),
                int(chosen.sum()),
                float(x[chosen].mean()),
                float(y[chosen].mean()),
            )
        )
    return bins


def expected_calibration_error(predicted: Sequence[float], true: Sequence[float], *, num_bins: int = 10) -> float:
    """Mean over samples of the distance between their bin's mean prediction and mean truth (ECE), in [0, 1]."""
    bins = reliability(predicted, true, num_bins=num_bins)
    return math.fsum(b.count * abs(b.mean_predicted - b.mean_true) for b in bins) / sum(b.count for b in bins)


def _pair(predicted: Sequence[float], true: Sequence[float]) -> tuple[Floats, Floats]:
    x, y = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    if x.size == 0 or x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"need as many predictions as true values and at least one, got {x.shape} and {y.shape}")
    return x, y
