"""PASCAL VOC and SBD: one sample per object, its class as the sentence.

VOC (http://host.robots.ox.ac.uk/pascal/VOC/): ``JPEGImages``, ``SegmentationObject`` (the n-th object of the annotation
has the number n, 255 is void), ``Annotations`` (XML, only the objects' names are read) and ``ImageSets/Segmentation``.

SBD (http://home.bharathh.info/pubs/codes/SBD/download.html): ``img``, ``inst`` (MATLAB files with ``GTinst``) and
``train.txt`` / ``val.txt``, in the folder ``dataset`` of the archive. A MATLAB file is opened when its image's turn has
come.

Void pixels are to be ignored. Classes written together are taken apart: "diningtable" -> "dining table".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from segagent.core import BoolMask, InputError, frozen_mask
from segagent.datasets.listed import (
    GroupedDataset,
    ListedSample,
    fingerprint_of,
    read_file,
)
from segagent.datasets.mask_sources import LabelValue
from segagent.datasets.matlab import read_struct
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_CLASSES = [
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]
_APART = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
_MAX_BYTES = 16 << 20
_SPLITS = ("train", "val", "trainval")


def open_voc(spec: str) -> GroupedDataset:
    """The data set of ``voc:ROOT[:split=train|val|trainval]``, ROOT a folder like ``VOCdevkit/VOC2012``.

    Raises ``InputError`` for missing lists and lines that are no name, while iterating for annotations.
    """
    root, options = parse_spec(spec, {"split": _SPLITS})
    split = options.get("split", "val")
    wanted = (
        f"PASCAL VOC needs JPEGImages, SegmentationObject, Annotations and "
        f"ImageSets/Segmentation/{split}.txt in {root}, from http://host.robots.ox.ac.uk/pascal/VOC/"
    )
    file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    content = read_file(file, wanted)
    groups = [_VocGroup(root, name, wanted) for name in _names(content, file)]
    return GroupedDataset(
        write_spec("voc", root, {"split": split}), fingerprint_of("voc", content), groups, root / "JPEGImages"
    )


def open_sbd(spec: str) -> GroupedDataset:
    """The data set of ``sbd:ROOT[:split=train|val]``; ROOT or a folder ``dataset`` below it. As :func:`open_voc`."""
    given, options = parse_spec(spec, {"split": _SPLITS[:2]})
    places = (given, given / "dataset", given / "benchmark_RELEASE" / "dataset")
    root = next((place for place in places if (place / "inst").is_dir()), given)
    split = options.get("split", "val")
    wanted = (
        f"SBD needs img, inst and {split}.txt in {root}, from http://home.bharathh.info/pubs/codes/SBD/download.html"
    )
    file = root / f"{split}.txt"
    content = read_file(file, wanted)
    groups = [_SbdGroup(root, name, wanted) for name in _names(content, file)]
    return GroupedDataset(
        write_spec("sbd", given, {"split": split}), fingerprint_of("sbd", content), groups, root / "img"
    )


def _names(content: bytes, file: Path) -> list[str]:
    """The names in a list file, each once; a second column is left alone."""
    found: dict[str, None] = {}
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if not re.fullmatch(r"[\w.-]{1,200}", words[0]) or words[0].startswith("."):
            raise InputError(f"{file}, line {number}: {line!r:.80} does not begin with an image's name")
        found[words[0]] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _VocGroup:
    root: Path
    name: str
    wanted: str

    @property
    def image_name(self) -> str:
        """See :class:`segagent.datasets.SampleGroup`."""
        return f"{self.name}.jpg"

    def samples(self) -> Sequence[ListedSample]:
        """One per object of the annotation."""
        file = path_inside(self.root, f"Annotations/{self.name}.xml", str(self.root), "annotation")
        names = _object_names(read_file(file, self.wanted, _MAX_BYTES), file)
        labels = path_inside(self.root, f"SegmentationObject/{self.name}.png", str(self.root), "mask")
        image = path_inside(self.root, f"JPEGImages/{self.name}.jpg", str(self.root), "image")
        return [
            _sample(self.name, number, category, image, LabelValue(labels, number), f"{file}, object {number}")
            for number, category in enumerate(names, start=1)
        ]


def _object_names(content: bytes, file: Path) -> list[str]:
    if re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE) or not re.match(rb"(\xef\xbb\xbf)?\s*<", content):
        raise InputError(f"{file}: not a plain VOC annotation (document types and other encodings are refused)")
    try:
        tree = ElementTree.fromstring(content)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{file}: not valid XML ({error})") from error
    names = [(node.findtext("name") or "").strip() for node in tree.findall("object")]
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{file}, object {number}: has no name")
    return names


@dataclass(frozen=True, slots=True)
class _SbdGroup:
    root: Path
    name: str
    wanted: str

    @property
    def image_name(self) -> str:
        """See :class:`segagent.datasets.SampleGroup`."""
        return f"{self.name}.jpg"

    def samples(self) -> Sequence[ListedSample]:
        """One per object of the MATLAB file."""
        file = path_inside(self.root, f"inst/{self.name}.mat", str(self.root), "annotation")
        image = path_inside(self.root, f"img/{self.name}.jpg", str(self.root), "image")
        categories = _instances(file, self.wanted)[1]
        samples = []
        for number, value in enumerate(categories, start=1):
            where = f"{file}, object {number}"
            if not 1 <= value <= len(_CLASSES):
                raise InputError(f"{where}: class {value} is not one of 1 to {len(_CLASSES)}")
            target = SbdObject(file, number, self.wanted)
            samples.append(_sample(self.name, number, _CLASSES[value - 1], image, target, where))
        return samples


@dataclass(frozen=True, slots=True)
class SbdObject:
    """The pixels of a number in ``GTinst.Segmentation``."""

    path: Path
    number: int
    wanted: str

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        labels = _instances(self.path, self.wanted)[0]
        if labels.shape != (height, width):
            raise ValueError(
                f"GTinst.Segmentation is {labels.shape[1]} x {labels.shape[0]}, the image {width} x {height}"
            )
        mask = labels == self.number
        if not mask.any():
            raise ValueError(f"no pixel has the number {self.number}")
        return frozen_mask(mask), None


def _instances(path: Path, wanted: str) -> tuple[Any, list[int]]:
    """Label image (height, width) and the class of each object of a MATLAB file, which can hold data only."""
    content = read_file(path, wanted, _MAX_BYTES)
    try:
        inst = read_struct(content, "GTinst")
        labels, classes = inst["Segmentation"], inst["Categories"]
        if not np.issubdtype(labels.dtype, np.integer) or classes.size > 1000 or not np.isfinite(classes).all():
            raise ValueError("GTinst.Segmentation must be whole numbers (height, width)")
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: damaged, or without GTinst's Segmentation and Categories ({error})") from error
    categories = [int(value) for value in classes.ravel()]
    return labels, categories


def _sample(name: str, number: int, category: str, image: Path, target: Any, where: str) -> ListedSample:
    words = _APART.get(category, category)
    return ListedSample(f"{name}-{number}", image, f"{name}.jpg", words, target, where, category=words)
