"""Where samples come from. ``open_dataset`` opens any data set from its specification."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from segagent.core import InputError
from segagent.datasets.coco import CocoDataset
from segagent.datasets.folder import FolderDataset
from segagent.datasets.generated import ScenesDataset
from segagent.datasets.sample import Dataset, Sample, SampleGroup

__all__ = [
    "CocoDataset",
    "Dataset",
    "FolderDataset",
    "Sample",
    "SampleGroup",
    "ScenesDataset",
    "open_dataset",
]

_IN_A_FOLDER: dict[str, Callable[[Path], Dataset]] = {
    "manifest.json": lambda file: FolderDataset(file.parent),
    "instances.json": CocoDataset,
}
"""What a folder holds, the first one found deciding, and how it is opened."""


def open_dataset(spec: str) -> Dataset:
    """The data set that ``spec`` names.

    ===================================  =========================================================================
    ``scenes:NUM[:seed=..,split=..]``    generated scenes, drawn on the fly; also complexity, size, width,
                                         height and sentences (at most so many per scene)
    a folder with ``manifest.json``      :class:`FolderDataset`, one sample per sentence
    a folder with ``instances.json``     :class:`CocoDataset`, one sample per object, its category as the text
    a ``.json`` file                     :class:`CocoDataset`
    ===================================  =========================================================================

    A manifest goes before instances. Raises ``InputError`` for anything else, and for a data set that is malformed.
    """
    if spec.partition(":")[0] == "scenes":
        return ScenesDataset.from_spec(spec)
    if "\0" in spec or not spec:
        raise InputError(f"{spec!r:.80}: not a data set")
    path = Path(spec)
    if path.is_file():
        by_name = _IN_A_FOLDER.get(path.name)
        if by_name is None and path.suffix.lower() != ".json":
            raise InputError(f"{path}: expected a folder, a .json file with COCO annotations, or scenes:NUM")
        return by_name(path) if by_name is not None else CocoDataset(path)
    for name, open_file in _IN_A_FOLDER.items():
        if (path / name).is_file():
            return open_file(path / name)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; a data set is a folder, a .json file, or scenes:NUM")
    raise InputError(f"{path}: holds neither of {' and '.join(_IN_A_FOLDER)}")
