"""COCO JSON out: masks of a data set or of finished episodes as an instances file that any COCO reader takes.

Beside COCO's own keys an annotation has ``text`` (the sentence), ``sample_id`` and, for predictions, ``score`` (the
predicted IoU). The category is the sample's, or the sentence where it has none. Empty masks, which COCO has no place
for, are left out and counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import BoolMask, Trajectory, encode_rle
from segagent.datasets.sample import Dataset
from segagent.imaging import write_bytes


@dataclass(frozen=True, slots=True)
class CocoObject:
    """A mask, bool (height, width), and what it is."""

    sample_id: str
    image_name: str
    text: str
    mask: BoolMask
    category: str | None = None
    score: float | None = None


def objects_of_dataset(dataset: Dataset) -> Iterator[CocoObject]:
    """The true masks of a data set, one image in memory at a time."""
    for group in dataset.groups():
        samples = group.samples()
        image = samples[0].load_image() if samples else None
        for sample in samples:
            mask = sample.load_target(image)[0]
            yield CocoObject(sample.sample_id, sample.image_name, sample.text, mask, sample.category)


def objects_of_trajectories(trajectories: Iterable[Trajectory]) -> Iterator[CocoObject]:
    """The returned masks of episodes."""
    for one in trajectories:
        mask, score = one.mask_at(one.returned), one.predicted_iou_at(one.returned)
        yield CocoObject(one.sample_id, one.image, one.text, mask, score=score)


def coco_header() -> dict[str, Any]:
    """``info`` and ``licenses``, without which pycocotools before 2.0.11 and the evaluations built on it stop."""
    return {"info": {"description": "written by segagent"}, "licenses": []}


def write_coco(path: str | Path, objects: Iterable[CocoObject], categories: Sequence[str] = ()) -> int:
    """An instances file with compressed RLE; gives how many empty masks were left out.

    ``categories`` are listed first, in this order, then those of the objects that are not among them.
    Raises ``ValueError`` where two masks of one image differ in size, ``InputError`` if the file cannot be written.
    """
    images: dict[str, dict[str, Any]] = {}
    numbers = {name: number for number, name in enumerate(dict.fromkeys(categories), 1)}
    annotations: list[dict[str, Any]] = []
    num_empty = 0
    for one in objects:
        height, width = one.mask.shape
        listed = {"id": len(images) + 1, "file_name": one.image_name, "height": height, "width": width}
        image = images.setdefault(one.image_name, listed)
        if (image["height"], image["width"]) != (height, width):
            raise ValueError(f"{one.image_name}: masks of {image['height']} x {image['width']} and {height} x {width}")
        rows, columns = np.flatnonzero(one.mask.any(axis=1)), np.flatnonzero(one.mask.any(axis=0))
        if not len(rows):
            num_empty += 1
            continue
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": image["id"],
                "category_id": numbers.setdefault(one.category or one.text, len(numbers) + 1),
                "iscrowd": 0,
                "area": int(np.count_nonzero(one.mask)),
                "bbox": [int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1],
                "segmentation": encode_rle(one.mask),
                "text": one.text,
                "sample_id": one.sample_id,
                **({} if one.score is None else {"score": one.score}),
            }
        )
    content = {
        **coco_header(),
        "images": list(images.values()),
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in numbers.items()],
    }
    write_bytes(path, json.dumps(content).encode("ascii"))
    return num_empty
