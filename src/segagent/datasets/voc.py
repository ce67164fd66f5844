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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from xml.etree import ElementTree

import numpy as np

from segagent.core import BoolMask, InputError, frozen_mask
from segagent.core.texts import decode_text, read_file
from segagent.datasets.broken import BrokenSample
from segagent.datasets.listed import (
    GroupedDataset,
    ListedSample,
    MaskSource,
    fingerprint_of,
)
from segagent.datasets.mask_sources import LabelValue
from segagent.datasets.matlab import read_struct
from segagent.datasets.sample import Sample, path_inside
from segagent.datasets.spec_options import NOTHING, parse_spec, write_spec
from segagent.imaging import load_image

_CLASSES = [
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
]  # fmt: skip
_APART = {"diningtable": "dining table", "pottedplant": "potted plant", "tvmonitor": "tv monitor"}
_MAX_BYTES = 16 << 20
_SPLITS = ("train", "val", "trainval")


def open_voc(spec: str, beside: Mapping[str, str] = NOTHING) -> GroupedDataset:
    """The data set of ``voc:ROOT[:split=train|val|trainval,text=..]``, ROOT a folder like ``VOCdevkit/VOC2012``.

    ``text=the {category}`` makes the sentences. Raises ``InputError`` for missing lists and lines that are no name; an
    annotation that cannot be used is a sample that fails.
    """
    root, options = parse_spec(spec, {"split": _SPLITS, "text": None}, beside)
    split = options.get("split", "val")
    wanted = (
        f"PASCAL VOC needs JPEGImages, SegmentationObject, Annotations and "
        f"ImageSets/Segmentation/{split}.txt in {root}, from http://host.robots.ox.ac.uk/pascal/VOC/"
    )
    file = root / "ImageSets" / "Segmentation" / f"{split}.txt"
    content = read_file(file, wanted)
    text = _template(options)
    groups = [_VocGroup(root, name, wanted, text) for name in _names(content, file)]
    again = write_spec("voc", root, {"split": split, "text": options.get("text")})
    return GroupedDataset(again, _fingerprint("voc", content, options), groups, root / "JPEGImages", _categories())


def open_sbd(spec: str, beside: Mapping[str, str] = NOTHING) -> GroupedDataset:
    """The data set of ``sbd:ROOT[:split=train|val,text=..]``, ROOT or ``dataset`` below it. As :func:`open_voc`."""
    given, options = parse_spec(spec, {"split": _SPLITS[:2], "text": None}, beside)
    places = (given, given / "dataset", given / "benchmark_RELEASE" / "dataset")
    root = next((place for place in places if (place / "inst").is_dir()), given)
    split = options.get("split", "val")
    wanted = (
        f"SBD needs img, inst and {split}.txt in {root}, from http://home.bharathh.info/pubs/codes/SBD/download.html"
    )
    file = root / f"{split}.txt"
    content = read_file(file, wanted)
    text = _template(options)
    groups = [_SbdGroup(root, name, wanted, text) for name in _names(content, file)]
    again = write_spec("sbd", given, {"split": split, "text": options.get("text")})
    return GroupedDataset(again, _fingerprint("sbd", content, options), groups, root / "img", _categories())


def _categories() -> list[str]:
    return [_APART.get(name, name) for name in _CLASSES]


def _template(options: dict[str, str]) -> str:
    template = options.get("text", "{category}")
    if "{category}" not in template:
        raise InputError(f"the text template {template!r:.80} lacks {{category}}")
    return template


def _fingerprint(name: str, content: bytes, options: dict[str, str]) -> str:
    return fingerprint_of(name, content, *([options["text"]] if "text" in options else []))


def _names(content: bytes, file: Path) -> list[str]:
    """The names in a list file, each once; a second column is left alone."""
    found: dict[str, None] = {}
    for number, line in enumerate(decode_text(content, file).splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if not re.fullmatch(r"[\w.-]{1,200}", words[0]) or words[0].startswith("."):
            raise InputError(f"{file}, line {number}: {line!r:.80} does not begin with an image's name")
        found[words[0]] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _Group:
    """The objects of one picture; a subclass says where its files are and what its annotation holds."""

    root: Path
    name: str
    wanted: str
    text: str

    image: ClassVar[str]
    annotation: ClassVar[str]

    @property
    def image_name(self) -> str:
        """See :class:`segagent.datasets.SampleGroup`."""
        return f"{self.name}.jpg"

    def objects(self, file: Path) -> list[tuple[str, MaskSource | str]]:
        """Category and mask of each object, or why it cannot be used. Raises ``InputError``."""
        raise NotImplementedError

    def samples(self) -> Sequence[Sample]:
        """One per object of the annotation; one that fails where that cannot be read."""
        image: Path | None = None
        try:
            image = path_inside(self.root, self.image.format(self.name), str(self.root), "image")
            file = path_inside(self.root, self.annotation.format(self.name), str(self.root), "annotation")
            objects = self.objects(file)
        except InputError as error:
            return [_broken(self.name, self.name, image, str(error))]
        samples: list[Sample] = []
        for number, (category, mask) in enumerate(objects, start=1):
            where = f"{file}, object {number}"
            if isinstance(mask, str):
                samples.append(_broken(f"{self.name}-{number}", self.name, image, f"{where}: {mask}"))
                continue
            words = _APART.get(category, category)
            text = self.text.replace("{category}", words)
            sample_id = f"{self.name}-{number}"
            samples.append(ListedSample(sample_id, image, self.image_name, text, mask, where, category=words))
        return samples


class _VocGroup(_Group):
    __slots__ = ()
    image, annotation = "JPEGImages/{}.jpg", "Annotations/{}.xml"

    def objects(self, file: Path) -> list[tuple[str, MaskSource | str]]:
        """See :class:`_Group`."""
        names = _object_names(read_file(file, self.wanted, _MAX_BYTES), file)
        labels = path_inside(self.root, f"SegmentationObject/{self.name}.png", str(self.root), "mask")
        return [(name, LabelValue(labels, n) if name else "has no name") for n, name in enumerate(names, start=1)]


def _object_names(content: bytes, file: Path) -> list[str]:
    """The name of each object, empty where it has none."""
    if re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE) or not re.match(rb"(\xef\xbb\xbf)?\s*<", content):
        raise InputError(f"{file}: not a plain VOC annotation (document types and other encodings are refused)")
    try:
        tree = ElementTree.fromstring(content)  # noqa: S314 - see above
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise InputError(f"{file}: not valid XML ({error})") from error
    return [(node.findtext("name") or "").strip() for node in tree.findall("object")]


class _SbdGroup(_Group):
    __slots__ = ()
    image, annotation = "img/{}.jpg", "inst/{}.mat"

    def objects(self, file: Path) -> list[tuple[str, MaskSource | str]]:
        """See :class:`_Group`."""
        return [
            (_CLASSES[value - 1], SbdObject(file, number, self.wanted))
            if 1 <= value <= len(_CLASSES)
            else ("", f"class {value} is not one of 1 to {len(_CLASSES)}")
            for number, value in enumerate(_instances(file, self.wanted)[1], start=1)
        ]


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


def _broken(sample_id: str, name: str, image: Path | None, reason: str) -> BrokenSample:
    return BrokenSample(sample_id, f"{name}.jpg", reason, partial(load_image, image) if image is not None else None)
