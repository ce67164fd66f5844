"""Which annotation before is which one after.

By id where ids are kept: one id on one image is one object. What is left over on an image, because an id went or came,
is paired by overlap: the pair with the best IoU first, down to :data:`OVERLAP`. Where ids were given anew, so that
those that agree say nothing, everything is paired by overlap. Which images are one, :mod:`pictures` tells. An export of
a run says of each mask which object it is, and which ones a person has added; that is believed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from pycocotools import mask as coco_mask

from segagent.annotation.diff.pictures import PictureMatch
from segagent.annotation.diff.sources import Annotation
from segagent.core import InputError
from segagent.core.rle import rle_iou

Matching: TypeAlias = Literal["auto", "id", "overlap"]

OVERLAP = 0.5
"""From this IoU on two masks of one image may be one object."""


@dataclass(frozen=True, slots=True)
class AnnotationPair:
    """One object on both sides. ``iou`` of the two masks in [0, 1]; None where their images differ in size."""

    before: Annotation
    after: Annotation
    iou: float | None
    by_id: bool


@dataclass(frozen=True)
class MatchedAnnotations:
    """``pairs`` in the order before, what only one side has, and ``how`` it was decided, in words."""

    pairs: list[AnnotationPair]
    removed: list[Annotation]
    added: list[Annotation]
    how: str


def match(
    before: Sequence[Annotation],
    after: Sequence[Annotation],
    how: Matching = "auto",
    pictures: PictureMatch = PictureMatch(),  # noqa: B008 - read only
) -> MatchedAnnotations:
    """Pair two lists of annotations whose RLEs are sound.

    ``how`` "auto": as the module tells; or one way alone. ``pictures``: what the images of ``after`` are called before.
    """
    if how not in get_args(Matching):
        raise InputError(f"matching {how!r:.80}: expected one of {', '.join(get_args(Matching))}")
    pairs = _by_id(before, after, pictures) if how != "overlap" else []
    words = "by id and image" if how == "id" else "by overlap"
    if how == "auto":
        words = "by id and image, what is left over by overlap"
        few = len(pairs) < min(len(before), sum(not one.added for one in after)) / 2
        untold = [pair for pair in pairs if not _is_told(pair)]
        if few or sum(pair.iou == 0 for pair in untold) > len(untold) / 2:
            words = f"by overlap, since {'few ids are on both sides' if few else 'most masks of one id are apart'}"
            pairs = []
    if how != "id":
        old, new = _left(before, after, pairs)
        pairs = pairs + _by_overlap(old, [one for one in new if not one.added], pictures)
    removed, added = _left(before, after, pairs)
    place = {id(one): number for number, one in enumerate(before)}
    return MatchedAnnotations(sorted(pairs, key=lambda pair: place[id(pair.before)]), removed, added, words)


def _is_told(pair: AnnotationPair) -> bool:
    """Whether one side is an export that says of its mask that it is this object."""
    before, after = pair.before, pair.after
    if before.object_id is not None and before.object_id == after.object_id:
        return True
    return (after.is_told and after.object_id == before.annotation_id) or (
        before.is_told and before.object_id == after.annotation_id
    )


def _left(
    before: Sequence[Annotation], after: Sequence[Annotation], pairs: Sequence[AnnotationPair]
) -> tuple[list[Annotation], list[Annotation]]:
    """What is in no pair."""
    old, new = {id(pair.before) for pair in pairs}, {id(pair.after) for pair in pairs}
    return [one for one in before if id(one) not in old], [one for one in after if id(one) not in new]


def _by_id(before: Sequence[Annotation], after: Sequence[Annotation], pictures: PictureMatch) -> list[AnnotationPair]:
    told = all(any(one.object_id is not None for one in side) for side in (before, after))

    def name(one: Annotation) -> str:
        """What it goes by: new objects have an id of their own in each export, and one in the run."""
        return one.object_id if one.object_id is not None and (told or one.added) else one.annotation_id

    by_id = {(name(one), pictures.name_before(one.image)): one for one in after}
    found = [(one, by_id[name(one), one.image]) for one in before if (name(one), one.image) in by_id]
    different = [(a, b) for a, b in found if a.rle != b.rle and a.rle["size"] == b.rle["size"]]
    ious = iter(rle_iou([a.rle for a, _ in different], [b.rle for _, b in different]).tolist())
    pairs = []
    for a, b in found:
        same_size = a.rle["size"] == b.rle["size"]
        iou = 1.0 if a.rle == b.rle else next(ious) if same_size else None
        pairs.append(AnnotationPair(a, b, iou, by_id=True))
    return pairs


def _by_overlap(
    before: Sequence[Annotation], after: Sequence[Annotation], pictures: PictureMatch
) -> list[AnnotationPair]:
    """Pairs within images, best IoU first; the earlier in the file among equals."""
    groups: defaultdict[tuple[str, int, int], tuple[list[Annotation], list[Annotation]]]
    groups = defaultdict(lambda: ([], []))
    for side, given in enumerate((before, after)):
        for one in given:
            image = pictures.name_before(one.image) if side else one.image
            groups[image, one.rle["size"][0], one.rle["size"][1]][side].append(one)
    pairs: list[AnnotationPair] = []
    for old, new in groups.values():
        if not old or not new:
            continue
        # Safe with pycocotools, for every RLE was checked when it was read.
        found = coco_mask.iou([one.rle for one in old], [one.rle for one in new], [0] * len(new))
        table = np.asarray(found, np.float64).reshape(len(old), len(new))
        free_old, free_new = set(range(len(old))), set(range(len(new)))
        for place in np.argsort(-table, axis=None, kind="stable").tolist():
            a, b = divmod(place, len(new))
            if table[a, b] < OVERLAP or not free_old or not free_new:
                break
            if a in free_old and b in free_new:
                free_old.discard(a)
                free_new.discard(b)
                pairs.append(AnnotationPair(old[a], new[b], float(table[a, b]), by_id=False))
    return pairs
