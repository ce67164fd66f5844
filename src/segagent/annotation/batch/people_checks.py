"""What people did to a run's objects, as checks of the run's masks and as decisions about the masks as they are now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from segagent.annotation.batch.checked import Check
from segagent.annotation.batch.folder import Run
from segagent.annotation.people import GONE, LeftObject, objects_left
from segagent.core.rle import rle_iou


@dataclass(frozen=True, slots=True)
class PersonsWord:
    """An object of the run, or one that people have added, and their word on it.

    ``check``: of the run's mask, None where nobody has said how good that is. ``final``: whether the mask as it is now
    is taken; None where the run's decision holds. ``own``: whether that mask is a person's. ``gone``: whether there is
    nothing to decide any more, for people have removed the object, or agree that it is not there. ``drawn``: whether
    the check is of a sample that stands for all masks, as ``did`` of its verdict tells.
    """

    left: LeftObject
    check: Check | None = None
    final: bool | None = None
    own: bool = False
    gone: bool = False
    drawn: bool = False


def persons_words(run: Run) -> Iterator[PersonsWord]:
    """All objects that have a record or a mask, in the run's order, added ones last."""
    for one in objects_left(run):
        not_found = one.record is not None and one.record.outcome == "not_found"
        agreed = not_found and one.rle is None and one.now.verdict == "ok"
        if one.record is None and (one.rle is None or one.stands in GONE):
            continue
        own = one.changed and one.now.made_by == "person"
        word = one.now.drawn or one.now.judged
        drawn = word is not None and word.kind == "verdict" and "num" in word.did
        yield PersonsWord(one, _check(one), one.accepted, own, gone=one.stands in GONE or agreed, drawn=drawn)


def _check(one: LeftObject) -> Check | None:
    # What the run's mask would be worth under other words is not known.
    if one.answer is None or one.relabelled or one.rephrased:
        return None
    match one.stands:
        case "removed" | "absent" | "emptied" | "wrong":
            return Check(one.object_id, ok=False)
        case "confirmed":
            return Check(one.object_id, ok=True)
        case "corrected" | "taken" if one.accepted and one.now.mask is not None:
            return Check(one.object_id, iou=float(rle_iou([one.answer], [one.now.mask])[0]))
    return None
