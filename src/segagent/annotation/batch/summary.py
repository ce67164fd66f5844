"""A run in numbers: what was done, how good it is expected to be, what it has cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.likely_error import ERROR_LABELS, likely_error
from segagent.annotation.batch.records import ObjectRecord

SUMMARY_FILE = "summary.json"


def summarise_run(run: Run) -> dict[str, Any]:
    """Counts by outcome and by the given masks' likely errors, failures, mean expected IoUs, costs.

    ``likely_errors`` and expected IoUs are None where there is nothing to speak of.
    """
    outcomes: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    before: list[float] = []
    after: list[float] = []
    for record in run.records():
        if not isinstance(record, ObjectRecord):
            failures.append({"object_id": record.sample_id, "image": record.image, "reason": record.reason})
            continue
        outcomes[record.outcome] += 1
        if run.job != "annotate":
            errors[likely_error(record, run.calibrated(record.given_iou)).label] += 1
        for values, predicted in ((before, record.given_iou), (after, record.predicted_iou)):
            calibrated = run.calibrated(predicted)
            if calibrated is not None and record.outcome != "not_found":
                values.append(calibrated)
    return {
        "run": str(run.folder),
        "job": run.job,
        "objects": outcomes.total() + len(failures),
        "outcomes": dict(sorted(outcomes.items())),
        "likely_errors": {label: errors[label] for label in ERROR_LABELS} if run.job != "annotate" else None,
        "failed": failures,
        "expected_iou_given": round(float(np.mean(before)), 4) if before else None,
        "expected_iou": round(float(np.mean(after)), 4) if after else None,
        "cost": {name: round(value, 4) for name, value in run.costs().items()},
    }
