"""Several COCO files as one, for the export of joined runs: every annotation with all its keys, ids made unique."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segagent.core.texts import parse_json, read_file
from segagent.datasets import CocoDataset, Dataset, JoinedDataset, LvisDataset
from segagent.datasets.joined import Part
from segagent.datasets.listed import id_of

_LISTS = ("images", "annotations", "categories")


@dataclass(frozen=True)
class CocoSource:
    """A COCO file that answers are written into. ``names``: which object an annotation is, by its id; others are called
    as their id is. ``files``: those that it was made of.
    """

    dataset: CocoDataset
    names: dict[str, str]
    files: tuple[Path, ...]


def is_written_into(dataset: Dataset) -> bool:
    """Whether an export to COCO is the file or files that the data set is, with answers put in."""
    if isinstance(dataset, JoinedDataset):
        # LVIS files name no pictures, so joined they are no COCO files to others.
        return all(isinstance(one, CocoDataset) and not isinstance(one, LvisDataset) for _, one in dataset.parts)
    return isinstance(dataset, CocoDataset)


@contextmanager
def coco_source(dataset: Dataset) -> Iterator[CocoSource | None]:
    """The COCO file of a data set; of joined ones theirs as one, there while the block runs. None for other data sets.

    Joined, annotations keep their ids where no earlier one has it; images are called as the joined data set calls them;
    of each class and image the first entry is kept. Raises ``InputError`` where a file can no longer be read.
    """
    if isinstance(dataset, CocoDataset):
        yield CocoSource(dataset, {}, (dataset.path,))
        return
    if not isinstance(dataset, JoinedDataset) or not is_written_into(dataset):
        yield None
        return
    joined = _Joined()
    plain = [(part, one) for part, one in dataset.parts if isinstance(one, CocoDataset)]
    for part, one in plain:
        joined.take(part, one)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "joined.json"
        file.write_text(json.dumps(joined.content, ensure_ascii=False), encoding="utf-8", errors="surrogatepass")
        yield CocoSource(CocoDataset(file, folder), joined.names, tuple(one.path for _, one in plain))


class _Joined:
    def __init__(self) -> None:
        self.content: dict[str, Any] = {name: [] for name in _LISTS}
        self.names: dict[str, str] = {}
        self._images: dict[str, int] = {}
        self._classes: dict[str, int] = {}
        self._highest = 0

    def take(self, part: Part, dataset: CocoDataset) -> None:
        data = parse_json(read_file(dataset.path), dataset.path)
        where = str(dataset.path)
        for key in data.keys() - set(_LISTS):
            self.content.setdefault(key, data[key])
        names = {identity: name for name, identity in dataset.image_ids.items()}
        images: dict[int | str, int] = {}
        classes: dict[int | str, int] = {}
        for entry in data["images"]:
            identity = id_of(entry, "id", where)
            name = part.images + names.get(identity, entry["file_name"])
            images[identity] = self._known("images", self._images, name, {**entry, "file_name": name})
        for entry in data["categories"]:
            classes[id_of(entry, "id", where)] = self._known("categories", self._classes, entry["name"], entry)
        for entry in data["annotations"]:
            identity = id_of(entry, "id", where)
            told = {
                **entry,
                "id": self._free(identity),
                "image_id": images[id_of(entry, "image_id", where)],
                "category_id": classes[id_of(entry, "category_id", where)],
            }
            self.names[str(told["id"])] = f"{part.ids}{identity}"
            self.content["annotations"].append(told)

    def _known(self, section: str, ids: dict[str, int], name: str, entry: dict[str, Any]) -> int:
        if name not in ids:
            ids[name] = len(ids) + 1
            self.content[section].append({**entry, "id": ids[name]})
        return ids[name]

    def _free(self, identity: int | str) -> int:
        """``identity``, if it is a number that no earlier annotation has; else one above all."""
        number = identity if isinstance(identity, int) and str(identity) not in self.names else self._highest + 1
        self._highest = max(self._highest, number)
        return number
