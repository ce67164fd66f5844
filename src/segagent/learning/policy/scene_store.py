"""Generated scenes on disk, so that pictures are drawn once and read many times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.core import BoolMask, Pixels
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.datasets.scenes.model import Split

SHARD = 250
SIZE = 256
NOT_ASKED = 255
"""Label of pixels of which nothing is asked: things too small to be objects, or too little of them in view."""
ABSENT_TARGET = -2
"""Target of a sentence that nothing in the picture fits."""


@dataclass(frozen=True)
class StoredExpression:
    """A sentence about a scene: ``target`` is an object's index or ``ABSENT_TARGET``, ``candidates`` those the noun
    phrase fits.
    """

    text: str
    target: int
    kind: str
    candidates: tuple[int, ...]
    anchor: int | None


@dataclass(frozen=True, eq=False)
class StoredScene:
    """One scene: ``pixels`` uint8 (256, 256, 3), ``labels`` uint8 (256, 256) with object i drawn as i + 1, or
    ``NOT_ASKED``.

    ``names`` holds (category, color, pattern, size) of each object, empty where unknown; ``told`` the categories of a
    photograph of which it has all that there are.
    """

    split: str
    index: int
    pixels: Pixels
    labels: npt.NDArray[np.uint8]
    names: tuple[tuple[str, str, str, str], ...]
    expressions: tuple[StoredExpression, ...]
    told: frozenset[str] = frozenset()

    def mask(self, number: int) -> BoolMask:
        """The visible mask of object ``number``, bool (256, 256)."""
        mask: BoolMask = self.labels == number + 1
        return mask


def write_shard(folder: Path, split: Split, first: int, count: int = SHARD) -> None:
    """Draw scenes ``first .. first + count - 1`` of ``split`` and store them; nothing is done where they exist."""
    save_shard(folder, split, first, (_drawn(split, first + row) for row in range(count)))


def _drawn(split: Split, index: int) -> StoredScene:
    scene = generate_scene(scene_rng(split, 0, index), SceneConfig(size=SIZE, complexity="mixed"))
    labels = np.zeros((SIZE, SIZE), np.uint8)
    for number, thing in enumerate(scene.objects):
        labels[thing.mask] = number + 1
    names = tuple((str(o.category), str(o.color), str(o.pattern), str(o.size)) for o in scene.objects)
    expressions = tuple(
        StoredExpression(e.text, int(e.target), e.kind, tuple(map(int, e.candidates)), e.anchor)
        for e in scene.expressions
    )
    return StoredScene(split, index, scene.image, labels, names, expressions)


def save_shard(folder: Path, split: str, first: int, scenes: Iterable[StoredScene]) -> None:
    """Store ``scenes`` as the shard that begins with number ``first``; nothing is done where it exists."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{split}_{first:07d}"
    if (folder / f"{stem}.json").exists():
        return
    kept = list(scenes)
    records = [
        {
            "index": scene.index,
            "names": scene.names,
            "expressions": [asdict(e) for e in scene.expressions],
            "told": sorted(scene.told),
        }
        for scene in kept
    ]
    np.save(folder / f"{stem}_pixels.npy", np.stack([scene.pixels for scene in kept]))
    np.save(folder / f"{stem}_labels.npy", np.stack([scene.labels for scene in kept]))
    partial = folder / f"{stem}.tmp"
    partial.write_text(json.dumps(records))
    partial.rename(folder / f"{stem}.json")


class SceneStore:
    """All complete shards of one split in a folder, memory-mapped. :meth:`refresh` finds new ones."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._split = folder, split
        self._shards: dict[str, tuple[Any, Any, list[dict[str, Any]]]] = {}
        self._where: list[tuple[str, int]] = []
        self.refresh()

    def refresh(self) -> None:
        """Open shards written since the last look; earlier scenes keep their positions."""
        for path in sorted(self._folder.glob(f"{self._split}_*.json")):
            if path.stem not in self._shards:
                pixels = np.load(self._folder / f"{path.stem}_pixels.npy", mmap_mode="r")
                labels = np.load(self._folder / f"{path.stem}_labels.npy", mmap_mode="r")
                records = json.loads(path.read_text())
                self._shards[path.stem] = (pixels, labels, records)
                self._where.extend((path.stem, row) for row in range(len(records)))

    def __len__(self) -> int:
        return len(self._where)

    def __getitem__(self, position: int) -> StoredScene:
        stem, row = self._where[position]
        pixels, labels, records = self._shards[stem]
        record = records[row]
        return StoredScene(
            split=self._split,
            index=int(record["index"]),
            pixels=np.asarray(pixels[row]),
            labels=np.asarray(labels[row]),
            names=tuple((n[0], n[1], n[2], n[3]) for n in record["names"]),
            expressions=tuple(
                StoredExpression(e["text"], e["target"], e["kind"], tuple(e["candidates"]), e["anchor"])
                for e in record["expressions"]
            ),
            told=frozenset(record.get("told", ())),
        )

    def __iter__(self) -> Iterator[StoredScene]:
        for position in range(len(self)):
            yield self[position]


class SceneMix:
    """Several stores drawn from in proportion to their shares."""

    def __init__(self, parts: Sequence[tuple[float, SceneStore]]) -> None:
        self._parts = [(share, store) for share, store in parts if share > 0]

    def draw(self, rng: np.random.Generator, num: int) -> list[StoredScene]:
        """``num`` random scenes."""
        shares = np.array([share for share, _ in self._parts])
        chosen = rng.choice(len(self._parts), num, p=shares / shares.sum())
        stores = [self._parts[int(part)][1] for part in chosen]
        return [store[int(rng.integers(len(store)))] for store in stores]

    def refresh(self) -> None:
        """See :meth:`SceneStore.refresh`."""
        for _, store in self._parts:
            store.refresh()
