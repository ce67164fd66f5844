"""Which of a person's masks is which object of the run, within one picture.

An id is believed where class and picture say the same; where they do not, class and overlap decide; what is left over
was removed or is new. Ids that other programs give anew (COCO's) are believed only as far as the masks agree with them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from segagent.annotation.interop.entries import Entry
from segagent.annotation.interop.xml_text import xml_text
from segagent.core import Rle

How: TypeAlias = Literal["id", "overlap", "label"]
"""What two were found to be one by; ``label``: both were the only ones left of theirs."""

OVERLAP = 0.5
"""From this IoU on two masks of one picture may be one object."""

_Table: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Known:
    """An object of the run. ``masks``: those that a file may have been given of it, sound, the run's answer first.

    ``size`` is (height, width), None where the run does not know it. ``answered``: whether the run has come to it and
    it did not fail. ``shown``: whether exports hold a mask of it. ``by_people``: all masks that people have made of it,
    and ``labels`` those that they have given it besides; ``gone``: whether they have removed it, ``added`` it.
    """

    object_id: str
    image: str
    label: str
    size: tuple[int, int] | None
    masks: tuple[Rle, ...]
    answered: bool
    shown: bool
    by_people: tuple[Rle, ...] = ()
    labels: tuple[str, ...] = ()
    gone: bool = False
    added: bool = False

    def is_called(self, label: str) -> bool:
        """Whether it has, or had, this label."""
        return plain_label(label) in (plain_label(self.label), *map(plain_label, self.labels))


@dataclass(frozen=True, slots=True)
class Drawn:
    """An entry with its mask."""

    entry: Entry
    rle: Rle

    @property
    def empty(self) -> bool:
        """Whether the mask covers no pixel."""
        return not coco_mask.area(self.rle)


@dataclass(frozen=True, slots=True)
class Pair:
    """One object on both sides."""

    known: Known
    drawn: Drawn
    how: How

    @property
    def relabelled(self) -> bool:
        """Whether the person calls it something else."""
        label = self.drawn.entry.label
        return label is not None and plain_label(label) != plain_label(self.known.label)


def pair(known: Sequence[Known], drawn: Sequence[Drawn], *, ids_kept: bool = False) -> list[Pair]:
    """Pair the objects and the masks of one picture, all of its size, in the masks' order.

    ``ids_kept``: the file tells the objects of masks, so a mask that names none and lies elsewhere is a new one.
    """
    if not known or not drawn:
        return []
    overlap = _overlaps(known, drawn)
    named, same = np.zeros(overlap.shape, np.bool_), np.zeros(overlap.shape, np.bool_)
    for row, mask in enumerate(drawn):
        for column, one in enumerate(known):
            label = mask.entry.label
            named[row, column] = mask.entry.object_id == one.object_id
            same[row, column] = label is None or one.is_called(label)
    sure = np.array([mask.entry.sure for mask in drawn])[:, None]
    # Crowds were objects of the run only if their ids say so; what people have removed comes back under its id only.
    no_crowd = ~np.array([mask.entry.crowd for mask in drawn])[:, None]
    free = no_crowd & ~np.array([one.gone for one in known])
    best = np.where(same, overlap, -1.0).max(axis=1, keepdims=True)
    near = overlap >= OVERLAP
    # Of several masks that name one object, the one that lies where it lay is not the copy.
    alone = (named & sure).sum(axis=0, keepdims=True) == 1
    rules: list[tuple[How, _Table]] = [
        ("id", named & same & sure & (near | alone)),
        # Its own id and its very mask: it was called something else, perhaps what the object beside it is called.
        ("id", named & sure & alone & (overlap == 1)),
        ("id", named & same & near & (overlap >= best)),
        ("overlap", same & near & free),
        ("id", named & sure & near),
        ("id", named & same & sure),
        ("overlap", near & free),
        ("id", named & same & no_crowd),
    ]
    found: dict[int, tuple[int, How]] = {}
    for how, allowed in rules:
        taken = {column for column, _ in found.values()}
        rows, columns = np.nonzero(allowed)
        order = np.argsort(-overlap[rows, columns], kind="stable")
        for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
            if row not in found and column not in taken:
                found[row] = (column, how)
                taken.add(column)
    for row, column in _only_ones(known, drawn, found, ids_kept=ids_kept):
        found[row] = (column, "label")
    return [Pair(known[column], drawn[row], how) for row, (column, how) in sorted(found.items())]


def plain_label(label: str) -> str:
    """A label as all formats can hold it."""
    return " ".join(xml_text(label).split())


def _only_ones(
    known: Sequence[Known], drawn: Sequence[Drawn], found: dict[int, tuple[int, How]], *, ids_kept: bool
) -> Iterator[tuple[int, int]]:
    """Where one mask and one object of a label are left, and the mask does not say that it is another's."""
    taken = {column for column, _ in found.values()}
    left = ((c, one) for c, one in enumerate(known) if c not in taken and not one.gone)
    objects = {column: plain_label(one.label) for column, one in left if not (ids_kept and one.shown)}
    masks = {
        row: plain_label(mask.entry.label or "")
        for row, mask in enumerate(drawn)
        if row not in found and not mask.entry.crowd and not (mask.entry.sure and mask.entry.object_id is not None)
    }
    num_objects, num_masks = Counter(objects.values()), Counter(masks.values())
    for row, label in masks.items():
        if num_masks[label] == num_objects[label] == 1:
            yield row, next(column for column, its in objects.items() if its == label)


def _overlaps(known: Sequence[Known], drawn: Sequence[Drawn]) -> npt.NDArray[np.float64]:
    """The best IoU of each mask with any that the object had: float64 (number of masks, number of objects)."""
    table = np.zeros((len(drawn), len(known)))
    owners = [column for column, one in enumerate(known) for _ in (*one.masks, *one.by_people)]
    masks = [rle for one in known for rle in (*one.masks, *one.by_people)]
    if masks:
        # Safe with pycocotools, for every RLE here is sound.
        found = coco_mask.iou([one.rle for one in drawn], masks, [0] * len(masks))
        for place, column in enumerate(owners):
            table[:, column] = np.maximum(table[:, column], np.asarray(found)[:, place])
    return table
