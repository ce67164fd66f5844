"""Made-up run folders: objects with a predicted IoU, evidence beside them."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from segagent.annotation.batch import ObjectRecord, Run, open_run
from segagent.core import Finish, Trajectory, encode_rle
from segagent.core.trajectory import Start, Step
from segagent.evaluation.calibration import Calibration, calibration_content
from segagent.evaluation.evidence import Evidence
from segagent.runs.journal import Journal

MASK = np.zeros((10, 10), np.bool_)
MASK[:5] = True


def record(object_id: str, predicted: float | None) -> ObjectRecord:
    """An object whose answer is the upper half of 10 x 10 pixels, or -1: it was not found."""
    step = Step(Finish(), "", encode_rle(MASK), 0, predicted_iou=predicted)
    start = Start("empty", encode_rle(np.zeros((10, 10), np.bool_)), 0.0)
    found = predicted is None or predicted >= 0
    trajectory = Trajectory(object_id, "a.png", 10, 10, "dog", "p", "t", 0, start, (step,), int(found), "finish")
    return ObjectRecord(object_id, "made" if found else "not_found", trajectory)


def made_run(
    folder: Path,
    predicted: Mapping[str, float | None],
    evidence: Evidence | None = None,
    job: str = "annotate",
    dataset: str = "scenes:1",
) -> Run:
    """A run of one image with these objects; its calibration says the predicted IoU itself."""
    folder.mkdir(parents=True)
    knots = Calibration((0.0, 1.0), (0.0, 1.0))
    config = {"job": job, "num_images": 1, "calibration": knots.to_dict()}
    with Journal(folder / "journal.jsonl", config, {"dataset": dataset}) as journal:
        journal.append(0, [record(name, said).to_dict() for name, said in predicted.items()])
    with Journal(folder / "costs.jsonl", {}, {}):
        pass
    if evidence is not None:
        (folder / "calibration.json").write_text(calibration_content(knots, evidence, {}))
    return open_run(folder)


def steps_evidence(num: int = 100) -> Evidence:
    """At 0.5, half of ``num`` masks have IoU 0.95, the others 0.4; at 0.9 all have 0.95. Each of its own image."""
    said = [0.5] * num + [0.9] * num
    true = [0.95, 0.4] * (num // 2) + [0.95] * num
    return Evidence.of(said, true, [str(row) for row in range(2 * num)], [True] * (2 * num))


def write_checks(path: Path, entries: object) -> Path:
    path.write_text(json.dumps(entries))
    return path
