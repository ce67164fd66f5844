"""RefCOCO, RefCOCO+, RefCOCOg, RefCLEF and gRefCOCO in the layout of the ``refer`` toolkit: one sample per expression.

Files (https://github.com/lichengunc/refer, https://github.com/henghuiding/gRefCOCO)::

    ROOT/refcoco/refs(unc).p  refs(google).p     ROOT/refcoco/instances.json
    ROOT/refcoco+/refs(unc).p                    ROOT/refcoco+/instances.json
    ROOT/refcocog/refs(umd).p refs(google).p     ROOT/refcocog/instances.json
    ROOT/refclef/refs(unc).p  refs(berkeley).p   ROOT/refclef/instances.json
    ROOT/grefcoco/grefs(unc).json                ROOT/grefcoco/instances.json
    ROOT/images/mscoco/images/train2014, ROOT/images/train2014 or ROOT/train2014
    ROOT/images/saiapr_tc-12 (RefCLEF)

The pickles are read as plain data (:mod:`segagent.datasets.plain_pickle`). Expressions without words are left out and
counted; an entry that contradicts the instances is an error that names it. An object without a segmentation makes the
samples about it fail, and only where a mask is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.core.texts import parse_json, read_file
from segagent.datasets.coco import parsed_coco
from segagent.datasets.listed import (
    ListedDataset,
    ListedSample,
    fingerprint_of,
    first_folder,
    id_of,
    objects_of,
    size_of,
    told,
)
from segagent.datasets.mask_sources import CocoMasks
from segagent.datasets.plain_pickle import load_plain_pickle
from segagent.datasets.sample import path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_COCO_IMAGES = ("images/mscoco/images/train2014", "images/train2014", "train2014", "images/mscoco/train2014")
_CLEF_IMAGES = ("images/saiapr_tc-12", "images/refclef", "saiapr_tc-12", "images")
_UNC = ("train", "val", "testA", "testB", "test")


@dataclass(frozen=True, slots=True)
class _Kind:
    """Who split the data set (the default first) into what, and where its images lie."""

    splits: dict[str, tuple[str, ...]]
    images: tuple[str, ...] = _COCO_IMAGES
    references: str = "refs({by}).p"
    source: str = "https://github.com/lichengunc/refer (mirrors exist, for example on Hugging Face)"
    pictures: str = "COCO's train2014 images (https://cocodataset.org)"


KINDS: dict[str, _Kind] = {
    "refcoco": _Kind({"unc": _UNC, "google": ("train", "val", "test")}),
    "refcoco+": _Kind({"unc": _UNC}),
    "refcocog": _Kind({"umd": ("train", "val", "test"), "google": ("train", "val")}),
    "refclef": _Kind(
        {"unc": (*_UNC, "testC"), "berkeley": ("train", "val", "test")},
        images=_CLEF_IMAGES,
        pictures="the SAIAPR TC-12 images of RefCLEF",
    ),
    "grefcoco": _Kind({"unc": _UNC}, references="grefs({by}).json", source="https://github.com/henghuiding/gRefCOCO"),
}
"""Every scheme of a specification that is read here."""


def open_refer(spec: str) -> ListedDataset:
    """The data set of ``NAME:ROOT[:by=..,split=..,images=FOLDER]``, NAME one of :data:`KINDS`.

    ``split`` is read as the toolkit does: ``testA`` also takes entries of a split ``testAB``, ``test`` those of every
    test split; without it all expressions are read. Raises ``InputError`` naming file and entry, or what is missing.
    """
    name = spec.partition(":")[0]
    kind = KINDS[name]
    every = tuple(dict.fromkeys(split for splits in kind.splits.values() for split in splits))
    root, options = parse_spec(spec, {"by": tuple(kind.splits), "split": every, "images": None})
    by, split = options.get("by", next(iter(kind.splits))), options.get("split")
    if split is not None and split not in kind.splits[by]:
        raise InputError(f"{spec!r:.200}: {name} split by {by} has {', '.join(kind.splits[by])}, got {split!r}")
    folder = root / name if (root / name).is_dir() else root
    wanted = (
        f"{name} needs {kind.references.format(by=by)!r} and 'instances.json' in {root / name}, from {kind.source}, "
        f"and {kind.pictures} in {root / kind.images[0]} or images=FOLDER"
    )
    references, instances = folder / kind.references.format(by=by), folder / "instances.json"
    contents = read_file(references, wanted), read_file(instances, wanted)
    places = [base / images for base in dict.fromkeys((root, folder.parent)) for images in kind.images]
    images_dir = Path(options["images"]) if "images" in options else first_folder(places)
    index = _Instances(contents[1], instances, images_dir)
    samples: list[ListedSample] = []
    seen: dict[str, int] = {}
    skipped = 0
    for entry, where in _references(contents[0], references):
        if split is not None and not _in_split(_split_of(entry, where), split):
            continue
        found, without_words = _samples(entry, where, index, seen)
        samples += found
        skipped += without_words
    again = {"by": by, "split": split, "images": options.get("images")}
    if again["images"] is not None:
        again["images"] = str(images_dir.resolve())
    fingerprint = fingerprint_of(*contents, name, str(split))
    notes = [f"{references}: {skipped} expressions have no words and are left out"] if skipped else []
    spec = write_spec(name, root, again)
    return ListedDataset(spec, fingerprint, samples, images_dir, skipped, index.categories(), notes)


class _Instances:
    """Images, objects and categories of ``instances.json``, looked up by id."""

    def __init__(self, content: bytes, path: Path, images_dir: Path) -> None:
        data = parsed_coco(content, path)
        self.path = path
        self._images_dir = images_dir
        self._images = _by_id(data["images"], f"{path}, images")
        self._objects = _by_id(data["annotations"], f"{path}, annotations")
        self._categories = _by_id(data["categories"], f"{path}, categories")
        self._known: dict[int | str, tuple[Path, str, tuple[int, int] | None]] = {}

    def image(self, image_id: int | str, where: str) -> tuple[Path, str, tuple[int, int] | None]:
        """Path, name, and (height, width) of an image, None where the picture must tell."""
        if image_id not in self._known:
            if image_id not in self._images:
                raise InputError(f"{where}: image_id {told(image_id)} is not among the images of {self.path}")
            entry = self._images[image_id]
            place = f"{self.path}, image {told(image_id)}"
            file = path_inside(self._images_dir, entry.get("file_name"), place, "file_name")
            name = file.relative_to(self._images_dir).as_posix()
            self._known[image_id] = file, name, size_of(entry, place)
        return self._known[image_id]

    def categories(self) -> list[str]:
        """The names of all categories that have one, in the file's order."""
        names = (entry.get("name") for entry in self._categories.values())
        return list(dict.fromkeys(name for name in names if isinstance(name, str)))

    def object(self, ann_id: int | str, image_id: int | str, where: str) -> tuple[Any, str]:
        """Segmentation, None where it has none, and category of an object."""
        if ann_id not in self._objects:
            raise InputError(f"{where}: ann_id {told(ann_id)} is not among the annotations of {self.path}")
        entry = self._objects[ann_id]
        place = f"{self.path}, annotation {told(ann_id)}"
        if entry.get("image_id") != image_id:
            raise InputError(f"{where}: ann_id {told(ann_id)} belongs to another image in {self.path}")
        category = self._categories.get(id_of(entry, "category_id", place), {}).get("name")
        if not isinstance(category, str):
            raise InputError(f"{place}: its category has no name")
        return entry.get("segmentation"), category


def _by_id(entries: Any, where: str) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {}
    for number, entry in enumerate(objects_of(entries, where)):
        identity = id_of(entry, "id", f"{where}[{number}]")
        if identity in found:
            raise InputError(f"{where}[{number}]: id {told(identity)} is that of an earlier entry too")
        found[identity] = entry
    return found


def _references(content: bytes, path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """Every entry and its name for error messages."""
    if path.suffix == ".json":
        data = parse_json(content, path)
    else:
        try:
            data = load_plain_pickle(content)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from error
    for number, entry in enumerate(objects_of(data, str(path))):
        where = f"{path}, [{number}]"
        yield entry, f"{where} (ref_id {told(id_of(entry, 'ref_id', where))})"


def _split_of(entry: dict[str, Any], where: str) -> str:
    split = entry.get("split")
    if not isinstance(split, str):
        raise InputError(f"{where}: 'split' must be text, got {told(split)}")
    return split


def _in_split(listed: str, wanted: str) -> bool:
    if wanted == "test":
        return listed.startswith("test")
    if wanted.startswith("test"):
        return listed.startswith("test") and wanted[-1] in listed[4:]
    return listed == wanted


def _samples(
    entry: dict[str, Any], where: str, index: _Instances, seen: dict[str, int]
) -> tuple[list[ListedSample], int]:
    """The expressions of an entry, and how many had no words."""
    image_id = id_of(entry, "image_id", where)
    file, name, size = index.image(image_id, where)
    ann_ids = entry.get("ann_id")
    listed = ann_ids if isinstance(ann_ids, list) else [ann_ids]
    objects = [
        index.object(id_of({"ann_id": ann_id}, "ann_id", where), image_id, where) for ann_id in listed if ann_id != -1
    ]
    if not isinstance(ann_ids, list) and not objects:
        raise InputError(f"{where}: 'ann_id' names no object")
    kind = None if not isinstance(ann_ids, list) else ("none", "one")[len(objects)] if len(objects) < 2 else "several"
    if entry.get("no_target") is True and objects:
        raise InputError(f"{where}: says no_target and lists objects")
    categories = {category for _, category in objects}
    target = CocoMasks(tuple(segmentation for segmentation, _ in objects))
    about = f"ann_id {', '.join(told(one) for one in listed)} of {index.path}"
    found: list[ListedSample] = []
    skipped = 0
    for number, sentence in enumerate(objects_of(entry.get("sentences"), f"{where}, sentences")):
        place = f"{where}, sentences[{number}]"
        words = sentence.get("sent", sentence.get("raw"))
        if not isinstance(words, str):
            raise InputError(f"{place}: 'sent' must be text, got {told(words)}")
        if not words.strip():
            skipped += 1
            continue
        sample_id = f"{id_of(entry, 'ref_id', where)}-{id_of(sentence, 'sent_id', place)}"
        seen[sample_id] = seen.get(sample_id, 0) + 1
        if seen[sample_id] > 1:
            sample_id += f"#{seen[sample_id]}"
        category = next(iter(categories)) if len(categories) == 1 else None
        found.append(
            ListedSample(sample_id, file, name, words.strip(), target, f"{place} ({about})", category, kind, size=size)
        )
    return found, skipped
