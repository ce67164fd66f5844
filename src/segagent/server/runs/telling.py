"""What clients are told of a run: as :mod:`segagent.server.runs.wire` has it, in plain values."""

from __future__ import annotations

from collections import Counter
from typing import Any

from segagent.annotation.batch import ObjectRecord, Run
from segagent.core.failures import Failure
from segagent.runs.progress import Progress


def told_of(name: str, asked: dict[str, Any], state: Any, error: Any) -> dict[str, Any]:
    """A run of which nothing is done yet."""
    return {
        "run": name, "job": asked["job"], "dataset": asked["dataset"], "state": state, "images": asked["images"],
        "images_done": 0, "objects": 0, "failed": 0, "outcomes": {}, "error": error,
    }  # fmt: skip


def counts_of(progress: Progress) -> dict[str, Any]:
    """What is done of a run that is worked on."""
    return {
        "images_done": progress.num_images,
        "objects": progress.num_samples,
        "failed": len(progress.failures),
        "outcomes": dict(progress.outcomes),
    }


def counted(run: Run) -> dict[str, Any]:
    """What is done of a run on disk."""
    outcomes = Counter("" if isinstance(record, Failure) else record.outcome for record in run.records())
    objects, failed = outcomes.total(), outcomes.pop("", 0)
    done = run.num_images - run.num_images_left()
    return {"images_done": done, "objects": objects, "failed": failed, "outcomes": dict(outcomes)}


def told_result(run: Run, record: ObjectRecord | Failure) -> dict[str, Any]:
    """What came of one object of ``run``."""
    if isinstance(record, Failure):
        none = dict.fromkeys(("text", "mask", "predicted_iou", "calibrated_iou", "given_iou"))
        told = {"object_id": record.sample_id, "outcome": "failed", "doubts": [], "reason": record.reason}
        return {**none, "image": record.image, **told}
    told = {name: getattr(record, name) for name in ("object_id", "image", "text", "outcome", "given_iou")}
    return {
        **told,
        "mask": record.trajectory.rle_at(record.trajectory.returned),
        "predicted_iou": record.predicted_iou,
        "calibrated_iou": run.calibrated(record.predicted_iou, record.doubts),
        "doubts": list(record.doubts),
        "reason": None,
    }
