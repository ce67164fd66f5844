"""YOLO segmentation out: ``data.yaml``, pictures split into train and val, and a text file of polygons for each.

The format has one polygon per object: :mod:`polygons` tells how several parts and holes are joined into it, and the
report tells what that and rounding off cost, as the IoU of each polygon, drawn again, with its mask.

Ultralytics finds a picture's labels by putting ``labels`` in place of the last folder ``images`` of its path, and
``.txt`` in place of its ending. So the pictures lie in one folder per split, without folders of their own, and no two
have names that differ in the ending only. ``pictures.jsonl`` tells which picture is which.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from segagent.annotation.interop.answers import Answers, Report
from segagent.annotation.interop.pictures import Pictures, UniqueNames
from segagent.annotation.interop.polygons import outline
from segagent.annotation.interop.xml_text import xml_text
from segagent.core import BoolMask, iou
from segagent.datasets.coco_masks import decode_segmentation

DATA_FILE = "data.yaml"
PICTURES_FILE = "pictures.jsonl"

_MAX_NAME_BYTES = 200


def write_yolo(
    answers: Answers,
    pictures: Pictures,
    folder: Path,
    report: Report,
    *,
    tolerance: float,
    val_share: float,
    split_seed: int,
) -> None:
    """Fill ``folder``. Raises ``InputError`` where a picture with masks cannot be read."""
    for_val = validation_images(answers.images, val_share, split_seed)
    splits = ("train", "val") if for_val else ("train",)
    (folder / DATA_FILE).write_text(_data_yaml(answers.labels, splits[-1]), encoding="ascii")
    for split in splits:
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
    names = UniqueNames(_label_key)
    kept: list[float] = []
    num_renamed = 0
    counts = {split: Counter(pictures=0, masks=0) for split in splits}
    with (
        (folder / PICTURES_FILE).open("w", encoding="ascii") as listed,
        (folder / "provenance.jsonl").open("w", encoding="ascii") as provenance,
    ):
        for image in answers.by_image():
            if image.size is None:
                continue
            split = "val" if image.image in for_val else "train"
            wanted = pictures.file_name(image.image)
            name = names.of(image.image, _flat(wanted))
            num_renamed += name != wanted
            pictures.copy(image.image, folder / "images" / split, name)
            label_file = f"labels/{split}/{PurePosixPath(name).with_suffix('.txt')}"
            lines = []
            for answer in image.answers:
                mask = answer.mask
                line = _line(mask, answers.labels[answer.label], tolerance)
                lines.append(line)
                kept.append(iou(mask, drawn_again(line, *mask.shape)))
                told = {"labels": label_file, "line": len(lines), "polygon_iou": round(kept[-1], 4)}
                provenance.write(json.dumps({**told, **answer.facts}) + "\n")
            (folder / label_file).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            listed.write(json.dumps({"picture": image.image, "file": f"images/{split}/{name}", "split": split}) + "\n")
            counts[split].update(pictures=1, masks=len(lines))
    if kept:
        report.more["polygon_iou_mean"] = round(float(np.mean(kept)), 4)
        report.more["polygon_iou_lowest"] = round(min(kept), 4)
    report.more |= {split: dict(count) for split, count in counts.items()}
    if not for_val:
        report.more["val"] = "the pictures of train (nothing to split off, or --val 0)"
    if num_renamed:
        report.more["pictures_with_another_name"] = f"{num_renamed}; {PICTURES_FILE} tells which"


def validation_images(images: Mapping[str, bool], share: float, seed: int) -> frozenset[str]:
    """Which images are for validation: ``share`` of those with masks (value true), and of those without.

    The images whose hash of ``seed`` and name is lowest, so that an image tends to stay where it is as others come and
    go. Of several images with masks at least one is taken, and one left, unless ``share`` is 0.
    """
    chosen: list[str] = []
    for with_masks in (True, False):
        names = sorted((name for name in images if images[name] == with_masks), key=lambda name: _draw(seed, name))
        count = round(share * len(names))
        if with_masks and share and len(names) > 1:
            count = min(max(count, 1), len(names) - 1)
        chosen += names[:count]
    return frozenset(chosen) if len(chosen) < len(images) else frozenset()


def drawn_again(line: str, height: int, width: int) -> BoolMask:
    """The mask of a line of a label file, as pycocotools draws polygons."""
    values = np.array([float(value) for value in line.split()[1:]])
    values[0::2] *= width
    values[1::2] *= height
    return decode_segmentation([values.tolist()], height, width)


class _Name(str):
    """A label: always in quotes, for readers differ on what ``no`` or ``1e3`` is without them."""


yaml.SafeDumper.add_representer(
    _Name, lambda dumper, name: dumper.represent_scalar("tag:yaml.org,2002:str", name, style='"')
)


def _data_yaml(labels: Iterable[str], val: str) -> str:
    """No ``path``: then Ultralytics takes the file's own folder, wherever that is moved to."""
    names = {number: _Name(xml_text(label)) for number, label in enumerate(labels)}
    data = {"train": "images/train", "val": f"images/{val}", "names": names}
    # ASCII, so that a program that reads with its system's own encoding gets the same names.
    text: str = yaml.safe_dump(data, sort_keys=False, width=sys.maxsize)
    return text


def _flat(name: str) -> str:
    """A path as one file name, short enough, that Ultralytics does not take for a hidden file."""
    path = PurePosixPath(name)
    stem = "_".join(path.with_suffix("").parts).lstrip(".")
    end = stem.encode("utf-8", "surrogateescape")[-_MAX_NAME_BYTES:].decode("utf-8", "ignore")
    return f"{end or '_'}{path.suffix}"


def _label_key(name: str) -> str:
    """What no two names may share: that of the label file, upper and lower case alike as many disks have it."""
    return PurePosixPath(name).stem.casefold()


def _draw(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}\n{name}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _line(mask: BoolMask, label: int, tolerance: float) -> str:
    height, width = mask.shape
    points = outline(mask, tolerance) / (width, height)
    return f"{label} " + " ".join(f"{value:.6f}" for value in points.ravel())
