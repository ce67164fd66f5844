"""A run in numbers: what was done, how good it is expected to be, what it has cost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord

SUMMARY_FILE = "summary.json"


def summarise_run(run: Run) -> dict[str, Any]:
    """Counts by outcome, failures, the mean expected IoU of given masks and of answers (None where unknown), costs."""
    outcomes: Counter[str] = Counter()
    failures: list[dict[str, Any]] = []
    before: list[float] = []
    after: list[float] = []
    for record in run.records():
        if not isinstance(record, ObjectRecord):
            failures.append({"object_id": record.sample_id, "image": record.image, "reason": record.reason})
            continue
        outcomes[record.outcome] += 1
        for values, predicted in ((before, record.given_iou), (after, record.predicted_iou)):
            calibrated = run.calibrated(predicted)
            if calibrated is not None and record.outcome != "not_found":
                values.append(calibrated)
    return {
        "run": str(run.folder),
        "job": run.job,
        "objects": outcomes.total() + len(failures),
        "outcomes": dict(sorted(outcomes.items())),
        "failed": failures,
        "expected_iou_given": round(float(np.mean(before)), 4) if before else None,
        "expected_iou": round(float(np.mean(after)), 4) if after else None,
        "cost": {name: round(value, 4) for name, value in run.costs().items()},
    }
