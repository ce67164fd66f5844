"""Runs made by a policy and a tool without models, over small data sets that tests know."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from cheap_models import Saying
from segagent.annotation.batch import Job, Models, Run, RunConfig, open_run, run_job
from segagent.core import BoolMask, Click, Finish, Observation, Proposal
from segagent.datasets import open_dataset
from segagent.datasets.coco_masks import encode_counts
from segagent.evaluation.calibration import Calibration
from segagent.search import SearchConfig
from segagent.tools.fake import DiscTool

HEIGHT, WIDTH = 24, 32


class AreaPolicy(Saying):
    """Clicks the middle and predicts an IoU that grows with the mask; an object called "ghost" is nowhere."""

    name = "area"

    def says(self, look: Observation, seed: int) -> Proposal:
        height, width = look.mask.shape
        share = 0.01 if "ghost" in look.text else min(0.3 + 4 * float(look.mask.mean()), 0.97)
        click = Click(width // 2, height // 2, positive=True)
        return Proposal(Finish() if look.mask[click.y, click.x] else click, share, 0.0, "")


def make_models() -> Models:
    return Models(AreaPolicy(), DiscTool(4), Calibration((0.0, 1.0), (0.1, 0.9)))


def make_run(spec: str | Path, out: Path, job: Job = "audit", **config: Any) -> Run:
    search = SearchConfig(max_steps=2)
    run_job(open_dataset(str(spec)), make_models, out, RunConfig(job, search, **config), notes={"policy": "area"})
    return open_run(out)


def disc(x: int, y: int, radius: float) -> BoolMask:
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    return np.asarray((columns - x) ** 2 + (rows - y) ** 2 <= radius**2)


def picture(path: Path, colour: str = "#204060") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PillowImage.new("RGB", (WIDTH, HEIGHT), colour).save(path)


def folder_data_set(folder: Path) -> Path:
    """Two pictures; three discs, one of them a "ghost", and a sample whose picture is missing."""
    samples = []
    for number, (name, text, category, mask) in enumerate(
        [
            ("a.png", "the small disc", "disc", disc(6, 6, 3)),
            ("a.png", 'the "big" disc & <more>', "disc", disc(18, 12, 7)),
            ("sub/b.png", "a ghost é", None, disc(5, 5, 2)),
            ("sub/b.png", "the other", None, disc(20, 10, 5)),
        ]
    ):
        picture(folder / name)
        PillowImage.fromarray(mask.astype(np.uint8) * 255).save(folder / f"m{number}.png")
        entry = {"image": name, "mask": f"m{number}.png", "text": text, "id": f"id#{number}"}
        samples.append(entry if category is None else {**entry, "category": category})
    samples.append({"image": "missing.png", "mask": "m0.png", "text": "nothing", "id": "gone"})
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}))
    return folder


def source_file(folder: Path) -> Path:
    for name in ("a.png", "b.png"):
        picture(folder / name)
    polygon = [[2, 2, 8, 2, 8, 8, 2, 8]]
    annotations = [
        {"id": 5, "image_id": 1, "category_id": 3, "iscrowd": 0, "area": 36.50, "bbox": [2, 2, 6, 6.0],
         "segmentation": polygon, "note": "é"},
        {"id": 6, "image_id": 1, "category_id": 3, "iscrowd": 1, "segmentation": encode_counts(disc(20, 10, 6))},
        {"id": 7, "image_id": 2, "category_id": 4, "segmentation": encode_counts(disc(16, 12, 9)), "area": 1e2},
        {"id": 8, "image_id": 2, "category_id": 3, "segmentation": encode_counts(disc(3, 3, 2))},
    ]  # fmt: skip
    content = {
        "info": {"year": 2001},
        "images": [
            {"id": 1, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
            {"id": 2, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
        ],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "dog", "supercategory": "animal"}, {"id": 4, "name": "cat"}],
    }
    (folder / "coco.json").write_text(json.dumps(content, indent=2))
    return folder / "coco.json"


def by_id(path: Path) -> dict[Any, dict[str, Any]]:
    return {entry["id"]: entry for entry in json.loads(path.read_bytes())["annotations"]}
