"""Run folders and COCO files written by hand: no model is asked for anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segagent.annotation.batch import ObjectRecord
from segagent.annotation.batch.folder import COSTS_FILE, JOURNAL_FILE
from segagent.annotation.batch.records import Outcome
from segagent.core import BoolMask, Click, Start, Step, Trajectory, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import open_dataset
from segagent.imaging import save_png
from segagent.runs.journal import Journal

HEIGHT, WIDTH = 40, 60
HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x onerror="alert(2)"></script><!--|`*_\u202e\n# big'


def square(left: int, top: int, side: int) -> BoolMask:
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def annotation(number: int | str, mask: BoolMask, image: int = 1, category: int = 1, **more: Any) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "segmentation": encode_rle(mask),
        "area": int(mask.sum()),
        "bbox": [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1],
        "iscrowd": 0,
        **more,
    }


def coco(
    path: Path,
    annotations: Sequence[Any],
    images: Sequence[str] = ("a.png", "b.png"),
    categories: Sequence[str] = ("cat", "dog"),
) -> Path:
    """A COCO file at ``path``; the pictures go into ``images`` beside it."""
    (path.parent / "images").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(images):
        if "/" not in name:
            save_png(path.parent / "images" / name, np.full((HEIGHT, WIDTH, 3), 90 + 40 * number, np.uint8))
    listed = [{"id": n, "file_name": name, "height": HEIGHT, "width": WIDTH} for n, name in enumerate(images, 1)]
    names = [{"id": number, "name": name} for number, name in enumerate(categories, 1)]
    path.write_text(json.dumps({"images": listed, "annotations": list(annotations), "categories": names}))
    return path


def record(
    name: str,
    outcome: Outcome,
    given: float | None,
    answer: float,
    *,
    image: str = "a.png",
    text: str = "the square",
    category: str | None = "cat",
    doubts: tuple[str, ...] = (),
) -> ObjectRecord:
    """An object whose given mask is a small square and whose one step made it larger."""
    taken = outcome in ("repaired", "made", "not_found")
    trajectory = Trajectory(
        sample_id=name,
        image=image,
        height=HEIGHT,
        width=WIDTH,
        text=text,
        policy="p",
        tool="t",
        seed=0,
        start=Start("mask", encode_rle(square(10, 10, 8)), given),
        steps=(Step(Click(22, 20, True), "+", encode_rle(square(10, 10, 14)), 0, answer),),
        returned=1 if taken else 0,
        stopped="max_steps",
    )
    return ObjectRecord(name, outcome, trajectory, category, doubts)


def run_folder(
    folder: Path, dataset: Path, records: Sequence[ObjectRecord | Failure], job: str = "refine", **notes: Any
) -> Path:
    folder.mkdir(parents=True)
    opened = open_dataset(str(dataset))
    config = {"job": job, "dataset": opened.fingerprint, "num_images": len(records), "policy": "p", "tool": "t"}
    about = {"dataset": opened.spec, "versions": {"segagent": "1"}, "policy": "p", "tool": "t", **notes}
    with Journal(folder / JOURNAL_FILE, config, about) as journal:
        for unit, one in enumerate(records):
            journal.append(unit, [one.to_dict()])
    with Journal(folder / COSTS_FILE, {}, {}) as costs:
        costs.append(0, [{"cost": {"seconds": 1.5, "policy_calls": 3}}])
    return folder


LISTED_ORDER = ["broken", "gone", "bad", "middling", "fine"]


def usual_run(tmp_path: Path, text: str = "the square") -> Path:
    """One failed, one not found, three scored 0.2, 0.5, 0.9; not in the order of the work list."""
    dataset = coco(tmp_path / "data" / "coco.json", [annotation(1, square(10, 10, 8))])
    records = [
        record("fine", "kept", 0.9, 0.4, text=text),
        record("bad", "repaired", 0.1, 0.2, text=text, doubts=("no such thing",)),
        record("gone", "not_found", None, 0.95, text=text, image="b.png"),
        Failure("broken", "b.png", "cannot be read"),
        record("middling", "kept", 0.5, 0.4, text=text, category="dog"),
    ]
    return run_folder(tmp_path / "run", dataset, records)
