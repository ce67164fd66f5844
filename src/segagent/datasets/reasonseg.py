"""ReasonSeg: pictures with a LabelMe-like JSON file each, whose questions have to be reasoned about.

Files (https://github.com/dvlab-research/LISA): ``ROOT/train``, ``ROOT/val``, ``ROOT/test``, each with ``NAME.jpg`` and
``NAME.json``; a folder ``ReasonSeg`` below ROOT is found too. A JSON file has ``text`` (a list of sentences, each one
sample), ``is_sentence`` and ``shapes`` (``label``, ``points`` as [x, y] in pixels). Its mask as LISA defines it:
polygons are filled, outline included, from the largest to the smallest; one whose label holds "ignore" marks pixels to
ignore, one labelled "flag" counts for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, InputError, frozen_mask
from segagent.datasets.listed import (
    ListedDataset,
    ListedSample,
    fingerprint_of,
    objects_of,
    parsed_json,
    read_file,
    told,
)
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_SPLITS = ("train", "val", "test")
_MAX_POINTS = 100_000


@dataclass(frozen=True, slots=True)
class _Shape:
    """A polygon, float64 (points, 2) as x, y in pixels."""

    points: npt.NDArray[np.float64]
    ignored: bool


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes of one file, drawn when asked for."""

    shapes: tuple[_Shape, ...]

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        drawn = []
        for shape in self.shapes:
            if (np.abs(shape.points) > 4 * max(height, width)).any():
                raise ValueError(f"a polygon lies far outside the image of {width} x {height} pixels")
            canvas = np.zeros((height, width), np.uint8)
            points = [shape.points.astype(np.int32)]
            cv2.fillPoly(canvas, points, (1,))
            cv2.polylines(canvas, points, isClosed=True, color=(1,))
            drawn.append((int(canvas.sum()), canvas > 0, shape.ignored))
        labels = np.zeros((height, width), np.uint8)
        for _, inside, ignored in sorted(drawn, key=lambda one: -one[0]):
            labels[inside] = 2 if ignored else 1
        if not (labels == 1).any():
            raise ValueError("its shapes cover no pixel")
        ignore = labels == 2
        return frozen_mask(labels == 1), frozen_mask(ignore) if ignore.any() else None


def open_reasonseg(spec: str) -> ListedDataset:
    """The data set of ``reasonseg:ROOT[:split=train|val|test]``; without a split all that are there.

    Raises ``InputError`` naming file and entry, or what is missing.
    """
    given, options = parse_spec(spec, {"split": _SPLITS})
    root = given / "ReasonSeg" if (given / "ReasonSeg").is_dir() else given
    splits = [options["split"]] if "split" in options else [split for split in _SPLITS if (root / split).is_dir()]
    wanted = (
        f"ReasonSeg needs folders {', '.join(_SPLITS)} with NAME.jpg and NAME.json, "
        "from https://github.com/dvlab-research/LISA"
    )
    samples: list[ListedSample] = []
    contents: list[bytes | str] = []
    for split in splits:
        files = sorted((root / split).glob("*.json"))
        if not files:
            raise InputError(f"{root / split}: holds no .json file; {wanted}")
        for file in files:
            content = read_file(file, wanted)
            contents += [f"{split}/{file.name}", content]
            samples += _samples(root, split, file, content)
    if not splits:
        raise InputError(f"{root}: holds none of the folders {', '.join(_SPLITS)}; {wanted}")
    return ListedDataset(
        write_spec("reasonseg", given, {"split": options.get("split")}), fingerprint_of(*contents), samples, root
    )


def _samples(root: Path, split: str, file: Path, content: bytes) -> list[ListedSample]:
    try:
        data = parsed_json(content, file)
    except InputError:
        data = parsed_json(content, file, "cp1252")  # Some files of the published set are.
    if not isinstance(data, dict):
        raise InputError(f"{file}: expected an object with 'text' and 'shapes', got {type(data).__name__}")
    texts = data.get("text")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise InputError(f"{file}: 'text' must be sentences, got {told(texts)}")
    target = Shapes(tuple(_shapes(data.get("shapes"), f"{file}, shapes")))
    image = path_inside(root, f"{split}/{file.stem}.jpg", str(file), "image")
    kind = "sentence" if data.get("is_sentence") else "phrase"
    return [
        ListedSample(
            f"{split}-{file.stem}-{number}",
            image,
            f"{split}/{file.stem}.jpg",
            text.strip(),
            target,
            str(file),
            kind=kind,
        )
        for number, text in enumerate(texts)
    ]


def _shapes(value: Any, where: str) -> list[_Shape]:
    shapes = []
    for number, entry in enumerate(objects_of(value, where)):
        place = f"{where}[{number}]"
        label, points = entry.get("label"), entry.get("points")
        if not isinstance(label, str):
            raise InputError(f"{place}: 'label' must be text, got {told(label)}")
        if label.lower() == "flag":
            continue
        if not isinstance(points, list) or not 0 < len(points) <= _MAX_POINTS or not all(map(_is_point, points)):
            raise InputError(f"{place}: 'points' must be a list of [x, y] in pixels, got {told(points)}")
        shapes.append(_Shape(np.array(points, np.float64), "ignore" in label.lower()))
    return shapes


def _is_point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(type(one) in {int, float} and abs(one) < 1e6 for one in value)
    )
