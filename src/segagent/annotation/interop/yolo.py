"""YOLO segmentation out: a folder with ``data.yaml``, pictures and one text file of normalised polygons each.

The format has one polygon per object: :mod:`polygons` tells how several parts and holes are joined into it, and the
report tells what that and rounding off cost, as the IoU of each polygon, drawn again, with its mask.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath

import numpy as np

from segagent.annotation.interop.answers import Answers, Report
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.polygons import outline
from segagent.core import BoolMask, InputError, iou
from segagent.datasets.coco_masks import decode_segmentation

DATA_FILE = "data.yaml"


def write_yolo(answers: Answers, pictures: Pictures, folder: Path, tolerance: float, report: Report) -> None:
    """Fill ``folder``. Raises ``InputError`` where a picture with masks cannot be read."""
    names = [f"  {place}: {json.dumps(label)}\n" for label, place in answers.labels.items()]
    (folder / DATA_FILE).write_text(f"path: .\ntrain: images\nval: images\nnames:\n{''.join(names)}", encoding="ascii")
    (folder / "images").mkdir()
    kept: list[float] = []
    with (folder / "provenance.jsonl").open("w", encoding="ascii") as provenance:
        for image in answers.by_image():
            if image.size is None:
                continue
            copied = pictures.copy(image.image, folder / "images")
            label_file = folder / "labels" / PurePosixPath(copied).with_suffix(".txt")
            if label_file.exists():
                raise InputError(f"{copied}: another picture's name differs only in its ending; YOLO takes no two such")
            label_file.parent.mkdir(parents=True, exist_ok=True)
            lines = []
            for answer in image.answers:
                mask = answer.mask
                line = _line(mask, answers.labels[answer.label], tolerance)
                lines.append(line)
                kept.append(iou(mask, drawn_again(line, *mask.shape)))
                told = {"labels": str(PurePosixPath(copied).with_suffix(".txt")), "line": len(lines)}
                provenance.write(json.dumps({**told, "polygon_iou": round(kept[-1], 4), **answer.facts}) + "\n")
            label_file.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
    if kept:
        report.more["polygon_iou_mean"] = round(float(np.mean(kept)), 4)
        report.more["polygon_iou_lowest"] = round(min(kept), 4)


def drawn_again(line: str, height: int, width: int) -> BoolMask:
    """The mask of a line of a label file, as pycocotools draws polygons."""
    values = np.array([float(value) for value in line.split()[1:]])
    values[0::2] *= width
    values[1::2] *= height
    return decode_segmentation([values.tolist()], height, width)


def _line(mask: BoolMask, label: int, tolerance: float) -> str:
    height, width = mask.shape
    points = outline(mask, tolerance) / (width, height)
    return f"{label} " + " ".join(f"{value:.6f}" for value in points.ravel())
