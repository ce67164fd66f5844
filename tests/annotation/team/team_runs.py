"""Small COCO files and runs over them: made by cheap models, or written by hand where no model matters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cheap_models import Saying
from segagent.annotation.batch import Job, Models, ObjectRecord, Run, RunConfig, open_run, run_job
from segagent.annotation.batch.folder import COSTS_FILE, JOURNAL_FILE
from segagent.annotation.people import Event, PeopleLog
from segagent.core import BoolMask, Click, Image, Observation, Proposal, Start, Trajectory, encode_rle
from segagent.core.failures import Failure
from segagent.datasets import open_dataset
from segagent.imaging import save_png
from segagent.runs.journal import Journal
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 12, 16
CATEGORIES = ("cat", "dog", "a b")


class DoubtingPolicy(Saying):
    """Predicts an IoU that grows with the mask, and doubts everything that is called "dog"."""

    name = "doubting"

    def says(self, look: Observation, seed: int) -> Proposal:
        return Proposal(Click(1, 1, positive=True), round(float(look.mask.mean()), 2), 0.0, "")

    def doubts(self, image: Image, text: str) -> list[str]:
        return ["has never seen a dog"] if text == "dog" else []


def doubting_models() -> Models:
    return Models(DoubtingPolicy(), DiscTool(2))


def block(number: int) -> BoolMask:
    """A different rectangle for each number below 100."""
    mask = np.zeros((HEIGHT, WIDTH), np.bool_)
    mask[: 2 + number % 10, : 3 + number // 10] = True
    return mask


def coco_file(
    folder: Path,
    objects: Sequence[tuple[int, str, str]],
    *,
    images: str = "images",
    categories: Sequence[Any] = CATEGORIES,
    indent: int | None = 1,
    name: str = "coco.json",
) -> Path:
    """A COCO file of (id, image, category) and its pictures; each annotation has a key of its own."""
    names = sorted({image for _, image, _ in objects})
    for image in names:
        file = folder / images / image
        file.parent.mkdir(parents=True, exist_ok=True)
        save_png(file, np.full((HEIGHT, WIDTH, 3), 80, np.uint8))
    listed = [one if isinstance(one, dict) else {"name": one} for one in categories]
    labels = [one["name"] for one in listed]
    content = {
        "images": [{"id": n, "file_name": one, "height": HEIGHT, "width": WIDTH} for n, one in enumerate(names, 1)],
        "annotations": [
            {"id": number, "image_id": names.index(image) + 1, "category_id": labels.index(category) + 1,
             "segmentation": encode_rle(block(number)), "area": int(block(number).sum()) * 1.0, "iscrowd": 0,
             "bbox": [0, 0, 3, 2], "note": f"n\u00e9 {number}"}
            for number, image, category in objects
        ],
        "categories": [{"id": place, **one} for place, one in enumerate(listed, 1)],
    }  # fmt: skip
    path = folder / name
    path.write_text(json.dumps(content, indent=indent, ensure_ascii=False), encoding="utf-8")
    return path


def made(spec: str | Path, out: Path, job: Job = "audit", **config: Any) -> Run:
    """A run that the doubting policy makes."""
    run_job(open_dataset(str(spec)), doubting_models, out, RunConfig(job, SearchConfig(1), **config))
    return open_run(out)


def record(
    object_id: str, image: str = "a.png", category: str | None = "cat", predicted: float | None = 0.5, number: int = 1
) -> ObjectRecord:
    """An audited object whose mask is the block of that number."""
    start = Start("mask", encode_rle(block(number)), predicted)
    trajectory = Trajectory(
        object_id, image, HEIGHT, WIDTH, category or "thing", "p", "t", 0, start, (), 0, "max_steps"
    )
    return ObjectRecord(object_id, "audited", trajectory, category)


def written(folder: Path, spec: str | Path, records: Sequence[ObjectRecord | Failure], **config: Any) -> Run:
    """A run folder with these records, an image each."""
    folder.mkdir(parents=True)
    opened = open_dataset(str(spec))
    settings = {"job": "audit", "dataset": opened.fingerprint, "num_images": len(records), "policy": "p", **config}
    with Journal(folder / JOURNAL_FILE, settings, {"dataset": opened.spec, "versions": {"x": "1"}}) as journal:
        for unit, one in enumerate(records):
            journal.append(unit, [one.to_dict()])
    with Journal(folder / COSTS_FILE, {}, {}) as costs:
        costs.append(0, [{"cost": {"seconds": 1.5, "policy_calls": 3}}])
    return open_run(folder)


def event(kind: Any, object_id: str, by: str | None = "ann", minute: int | None = 0, **more: Any) -> Event:
    """What somebody did so many minutes after noon; None: at no time that the event tells."""
    when = None if minute is None else f"2026-03-01T{12 + minute // 60:02}:{minute % 60:02}:00.000Z"
    return Event(kind, object_id, more.pop("image", "a.png"), by, when, "review", **more)


def done(run: Run, events: Sequence[Event]) -> Run:
    """The run, after people did that."""
    with PeopleLog(run) as log:
        for one in events:
            log.append([one])
    return run
