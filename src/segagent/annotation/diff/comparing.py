"""What is different in an annotation that both sides have, and how much there is of everything."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segagent.annotation.diff.matching import AnnotationPair, Matching, match
from segagent.annotation.diff.pictures import PictureMatch, match_pictures
from segagent.annotation.diff.sources import Annotation, Source
from segagent.annotation.interop.provenance import PROVENANCE_KEY

BBOX_PIXELS = 1.0
"""Boxes that differ by at most this on every side are the same box, rounded another way."""

IOU_BINS = (0.0, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Lower ends of the histogram's bins; what is exactly 1 is counted apart."""

_MAX_VALUE = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A pair that differs. ``changes``: what, as (before, after) in words; "mask" is among them where pixels differ."""

    pair: AnnotationPair
    changes: dict[str, tuple[str, str]]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        before, after = self.pair.before, self.pair.after
        return {
            "id": before.annotation_id,
            "id_after": after.annotation_id,
            "image": before.image,
            "image_after": after.image,
            "category": before.category,
            "iou": None if self.pair.iou is None else round(self.pair.iou, 6),
            "area_before": before.area,
            "area_after": after.area,
            "changes": {name: list(values) for name, values in self.changes.items()},
            "matched_by": "id" if self.pair.by_id else "overlap",
        }


@dataclass(frozen=True)
class Diff:
    """``pairs`` are all that both sides have, ``changed`` those that differ, both in the order before.

    ``num_not_compared``: annotations whose other side is there and cannot be read; they are in no other count.
    ``pictures``: how the images' names of both sides go together.
    """

    before: Source
    after: Source
    how: str
    pairs: list[AnnotationPair]
    changed: list[Change]
    removed: list[Annotation]
    added: list[Annotation]
    num_not_compared: int
    pictures: PictureMatch

    @property
    def num_unchanged(self) -> int:
        """How many annotations are the same on both sides."""
        return len(self.pairs) - len(self.changed)

    @property
    def problems(self) -> list[str]:
        """What could not be read, of both sides."""
        return [*self.before.problems, *self.after.problems]

    def histogram(self) -> list[tuple[str, int]]:
        """How many pairs have an IoU in each bin, in words, best last; those without one are left out."""
        values = np.array([pair.iou for pair in self.pairs if pair.iou is not None], np.float64)
        counts = np.bincount(np.searchsorted(IOU_BINS, values[values < 1], "right") - 1, minlength=len(IOU_BINS))
        ends = (*IOU_BINS[1:], 1.0)
        rows = [(f"{low:g} to {high:g}", int(n)) for low, high, n in zip(IOU_BINS, ends, counts, strict=True)]
        return [*rows, ("exactly 1", int((values == 1).sum()))]

    def by_category(self) -> dict[str, Counter[str]]:
        """Counts of unchanged, changed, removed and added by category (that before, where there is one)."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        changed = {id(one.pair) for one in self.changed}
        for pair in self.pairs:
            counts[pair.before.category or ""]["changed" if id(pair) in changed else "unchanged"] += 1
        for name, alone in (("removed", self.removed), ("added", self.added)):
            for one in alone:
                counts[one.category or ""][name] += 1
        return dict(sorted(counts.items()))

    def summary(self) -> dict[str, Any]:
        """Counts as JSON."""
        ious = [pair.iou for pair in self.pairs if pair.iou is not None]
        counts = {
            "unchanged": self.num_unchanged,
            "changed": len(self.changed),
            "removed": len(self.removed),
            "added": len(self.added),
        }
        return {
            "before": self.before.name,
            "after": self.after.name,
            "matched": self.how,
            "num_before": len(self.before.annotations),
            "num_after": len(self.after.annotations),
            "pictures": self.pictures.to_dict(),
            "warnings": self.pictures.warnings(),
            "counts": counts,
            **counts,
            "changed_by": dict(Counter(name for one in self.changed for name in one.changes).most_common()),
            "not_compared": self.num_not_compared,
            "mean_iou": round(float(np.mean(ious)), 6) if ious else None,
            "iou_histogram": dict(self.histogram()),
            "by_category": {name: dict(counts) for name, counts in self.by_category().items()},
            "problems": self.problems,
        }


def compare(before: Source, after: Source, how: Matching = "auto") -> Diff:
    """Everything that is different between two sources."""
    pictures = match_pictures(before.images, after.images)
    matched = match(before.annotations, after.annotations, how, pictures)
    changed = [Change(pair, changes) for pair in matched.pairs if (changes := _changes(pair))]
    removed = [one for one in matched.removed if one.annotation_id not in after.bad]
    added = [one for one in matched.added if one.annotation_id not in before.bad]
    lost = len(matched.removed) - len(removed) + len(matched.added) - len(added)
    words = f"{matched.how}; {pictures.told()}" if pictures.told() else matched.how
    return Diff(before, after, words, matched.pairs, changed, removed, added, lost, pictures)


def largest(changed: Sequence[Change], most: int) -> list[Change]:
    """The ``most`` largest changes of masks, lowest IoU first."""
    masks = [one for one in changed if "mask" in one.changes]
    return sorted(masks, key=lambda one: -1.0 if one.pair.iou is None else one.pair.iou)[:most]


def _changes(pair: AnnotationPair) -> dict[str, tuple[str, str]]:
    before, after = pair.before, pair.after
    changes: dict[str, tuple[str, str]] = {}
    if pair.iou != 1:
        changes["mask"] = (_mask(before), _mask(after))
    if before.category != after.category:
        changes["category"] = (str(before.category), str(after.category))
    if before.bbox is not None and after.bbox is not None and _apart(before.bbox, after.bbox):
        changes["bbox"] = (_box(before.bbox), _box(after.bbox))
    if before.other is not None and after.other is not None:
        # An export's note on where a mask is from is no change of the annotation.
        for key in sorted((before.other.keys() | after.other.keys()) - {PROVENANCE_KEY}):
            values = before.other.get(key, ""), after.other.get(key, "")
            if values[0] != values[1]:
                changes[f"key {key}"] = (values[0][:_MAX_VALUE], values[1][:_MAX_VALUE])
    return changes


def _mask(one: Annotation) -> str:
    height, width = one.rle["size"]
    return f"{one.area} of {width} x {height} pixels"


def _apart(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    sides = [(box[0], box[1], box[0] + box[2], box[1] + box[3]) for box in (one, other)]
    return any(not abs(a - b) <= BBOX_PIXELS for a, b in zip(*sides, strict=True))


def _box(box: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in box)
