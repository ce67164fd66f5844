"""YOLO's segmentation data sets, as Ultralytics, Roboflow and ``segagent export --to yolo-seg`` write them.

``data.yaml`` names the classes (``names``, a list or numbers with names) and where the pictures of ``train``, ``val``
and ``test`` are: folders, or text files that list pictures. Where ``path`` is no folder on this machine, and where a
place leads out of the folder of ``data.yaml`` (Roboflow's ``../train/images``), they are looked for in that folder. The
labels of ``images/a.png`` are ``labels/a.txt``, the last ``images`` of the path counting, one object a line: the number
of its class, then x and y of its polygon's corners in shares of the picture's width and height. Polygons are drawn as
pycocotools draws them. A line of a box alone, or one that cannot be read, is a sample that fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segagent.core import BoolMask, InputError
from segagent.core.texts import read_text
from segagent.datasets.broken import BrokenSample
from segagent.datasets.coco_masks import decode_segmentation
from segagent.datasets.listed import GroupedDataset, ListedSample, listing_fingerprint, told
from segagent.datasets.sample import Sample, path_inside
from segagent.datasets.spec_options import NOTHING, parse_spec, write_spec
from segagent.imaging import load_image

_SPLITS = ("train", "val", "test")
_PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp", ".avif"}
_MAX_BYTES = 64 << 20


def open_yolo(spec: str, beside: Mapping[str, str] = NOTHING) -> GroupedDataset:
    """The data set of ``yolo:PATH[:split=train|val|test,text=..]``, PATH a ``data.yaml`` or its folder.

    Without ``split`` all that are there, each picture once. Raises ``InputError`` where ``data.yaml`` or the pictures
    cannot be found; a label that cannot be used is a sample that fails.
    """
    given, options = parse_spec(spec, {"split": _SPLITS, "text": None}, beside)
    file = given / "data.yaml" if given.is_dir() else given
    text = options.get("text", "{category}")
    if "{category}" not in text:
        raise InputError(f"the text template {text!r:.80} lacks {{category}}")
    try:
        listed = yaml.safe_load(read_text(file, "YOLO's data.yaml names the classes and the pictures", _MAX_BYTES))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError(f"{file}: not valid YAML ({' '.join(str(error).split())[:120]})") from error
    names = _names(listed, file)
    splits = [options["split"]] if "split" in options else [one for one in _SPLITS if listed.get(one)]
    pictures = {name: None for split in splits for name in _pictures(listed, split, file)}
    if not pictures:
        raise InputError(f"{file}: names no pictures; expected {', '.join(splits or _SPLITS)} with folders of them")
    groups = [_YoloGroup(file.parent, name, names, text) for name in pictures]
    again = write_spec("yolo", given, {"split": options.get("split"), "text": options.get("text")})
    labels = (group.label for group in groups)
    fingerprint = listing_fingerprint(file.parent, labels, *names.values(), options.get("text", ""))
    return GroupedDataset(again, fingerprint, groups, file.parent, tuple(dict.fromkeys(names.values())))


def _names(listed: Any, file: Path) -> dict[int, str]:
    names = listed.get("names") if isinstance(listed, dict) else None
    numbered = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(numbered, dict) or not all(
        type(number) is int and str(name).strip() for number, name in numbered.items()
    ):
        raise InputError(f"{file}: 'names' must be the classes' names, or numbers with names, got {told(names)}")
    return {number: str(name).strip() for number, name in numbered.items()}


def _pictures(listed: Mapping[str, Any], split: str, file: Path) -> Iterator[str]:
    """The names of a split's pictures, below the folder of ``data.yaml``. Raises ``InputError``."""
    root = file.parent.resolve()
    places = listed.get(split)
    for place in places if isinstance(places, list) else [places]:
        if not isinstance(place, str) or not place:
            raise InputError(f"{file}: {split!r} must be a folder of pictures or a list file, got {told(place)}")
        found = _place(root, str(listed.get("path") or ""), place.replace("\\", "/"))
        if found is None:
            raise InputError(f"{file}: {split} is {place!r:.200}; there is no such folder or list file in {root}")
        if found.is_dir():
            inside = sorted(one for one in found.rglob("*") if one.suffix.lower() in _PICTURES)
            yield from (one.relative_to(root).as_posix() for one in inside)
        else:
            for number, line in enumerate(read_text(found, "", _MAX_BYTES).splitlines(), start=1):
                if line.strip():
                    where = f"{found}, line {number}"
                    base = found.parent if line.startswith("./") else root
                    yield path_inside(base, line.strip(), where, "picture").resolve().relative_to(root).as_posix()


def _place(root: Path, base: str, place: str) -> Path | None:
    """Where ``place`` is below ``root``, whatever machine it was written on."""
    inner = place
    while inner.startswith("../"):
        inner = inner[3:]
    for path in (root / base / place, root / place, root / inner):
        if path.exists() and path.resolve().is_relative_to(root):
            return path.resolve()
    return None


@dataclass(frozen=True, slots=True)
class _YoloGroup:
    """The objects of one picture, read when its turn comes."""

    root: Path
    image_name: str
    names: Mapping[int, str]
    text: str

    @property
    def label(self) -> Path:
        """The picture's label file, there or not."""
        parts = list(Path(self.image_name).with_suffix(".txt").parts)
        if "images" in parts[:-1]:
            parts[len(parts) - 2 - parts[-2::-1].index("images")] = "labels"
        return self.root.joinpath(*parts)

    def samples(self) -> Sequence[Sample]:
        """One per line; none where the picture has no label file, which means that nothing is in it."""
        if not self.label.is_file():
            return []
        try:
            image = path_inside(self.root, self.image_name, str(self.root), "picture")
            lines = read_text(self.label, "", _MAX_BYTES).splitlines()
        except InputError as error:
            return [BrokenSample(f"{self.image_name}#0", self.image_name, str(error))]
        samples: list[Sample] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            sample_id, where = f"{self.image_name}#{number}", f"{self.label}, line {number}"
            try:
                category, polygon = self._object(line)
            except ValueError as error:
                reason = f"{where}: {error}"
                samples.append(BrokenSample(sample_id, self.image_name, reason, partial(load_image, image)))
                continue
            text = self.text.replace("{category}", category)
            samples.append(ListedSample(sample_id, image, self.image_name, text, polygon, where, category))
        return samples

    def _object(self, line: str) -> tuple[str, YoloPolygon]:
        words = line.split()
        if not words[0].isdecimal() or int(words[0]) not in self.names:
            raise ValueError(f"class {words[0]!r:.40} is none of data.yaml's {len(self.names)}")
        shares = tuple(map(float, words[1:]))
        if len(shares) == 4:
            raise ValueError("a box alone is no mask")
        if len(shares) < 6 or len(shares) % 2 or not all(-1 <= share <= 2 for share in shares):
            raise ValueError(f"expected x and y of three corners or more, in shares of the picture, got {line!r:.60}")
        return self.names[int(words[0])], YoloPolygon(shares)


@dataclass(frozen=True, slots=True)
class YoloPolygon:
    """A polygon whose corners x0, y0, x1, y1, ... are shares of the picture's width and height."""

    shares: tuple[float, ...]

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.listed.MaskSource`."""
        corners = np.array(self.shares).reshape(-1, 2) * (width, height)
        mask = decode_segmentation([corners.ravel()], height, width)
        if not mask.any():
            raise ValueError("the polygon covers no pixel; remove the line")
        return mask, None
