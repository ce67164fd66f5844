"""What people did to the objects of a run, out of a file of corrections."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.interop.entries import Entry, Found, Problem, Sheet
from segagent.annotation.interop.matching import Matched, match
from segagent.annotation.interop.pairing import Drawn, How, Pair
from segagent.core import BoolMask, Rle, decode_rle
from segagent.core.rle import rle_iou


@dataclass(frozen=True, eq=False)
class Correction:
    """A person's mask for an object of the run.

    ``iou``: of the run's mask with it, None where the run found none. ``label``: what the person calls the object, None
    where that is what the run calls it. ``how`` the two were found to be one.
    """

    record: ObjectRecord
    rle: Rle
    entry: Entry
    iou: float | None
    label: str | None
    how: How

    @property
    def mask(self) -> BoolMask:
        """Bool (height, width)."""
        return decode_rle(self.rle)

    @property
    def changed(self) -> bool:
        """Whether the mask is another than the run's."""
        return self.iou != 1.0


class Matcher:
    """A person's file beside the run. What becomes of its entries is told by the properties, once
    :meth:`corrections` is through.

    ``unchanged_counts``: masks as they were exported count as seen by a person, whatever the file tells. ``deletions``:
    whether objects that the file's pictures do not have were deleted by a person; None: unless the file may not have
    had them from the start, because the export was divided into accepted and other masks.
    """

    def __init__(
        self, run: Run, found: Found, *, unchanged_counts: bool = False, deletions: bool | None = None
    ) -> None:
        self._run = run
        self._unchanged_counts = unchanged_counts
        self._deletions = deletions
        self._matched: Matched = match(run, found, run.dataset())
        self.problems: list[Problem] = self._matched.problems
        self.num_untouched = 0
        self.removed: dict[str, Sheet] = {}
        """Objects that a person has deleted, or emptied, by id."""
        self.missing: list[str] = []
        """Objects that the file's pictures do not have, without being deleted as far as one can tell."""

    @property
    def new(self) -> list[tuple[str, Drawn]]:
        """Masks that are no object of the run, each with the picture's name."""
        return self._matched.new

    def corrections(self) -> Iterator[Correction]:
        """The masks of objects that somebody has looked at or touched, in the run's order."""
        blank = {one.object_id: one for one in self._matched.blank if not one.crowd}
        for object_id, sheet in self._matched.absent.items():
            if object_id in blank:
                continue
            if self._deleted(object_id, sheet):
                self.removed[object_id] = sheet
            else:
                self.missing.append(object_id)
        pairs = dict(self._matched.pairs)
        for record in self._run.objects():
            one = pairs.pop(record.object_id, None)
            if one is None:
                if record.object_id in blank and record.outcome != "not_found":
                    reason = "has no segmentation; to remove the object, remove the annotation"
                    self.problems.append(Problem(blank[record.object_id].where, reason))
                continue
            entry = one.drawn.entry
            if self._untouched(one):
                self.num_untouched += 1
            elif one.drawn.empty:
                self.removed[record.object_id] = Sheet(entry.sheet, "", entry.where, record.image, entry.by, entry.when)
            else:
                iou = None if record.outcome == "not_found" else _iou(one.known.masks[0], one.drawn.rle)
                label = entry.label if one.relabelled else None
                yield Correction(record, one.drawn.rle, entry, iou, label, one.how)
        for object_id, one in pairs.items():
            if one.known.added:
                self._matched.new.append((one.known.image, one.drawn))
                continue
            if any(_iou(mask, one.drawn.rle) == 1 for mask in one.known.masks):
                self.num_untouched += 1
                continue
            reason = "failed in the run, or the run has not come to it: go on with the run, then import again"
            self.problems.append(Problem(one.drawn.entry.where, f"object {object_id!r:.80} {reason}"))

    def _deleted(self, object_id: str, sheet: Sheet) -> bool:
        return deleted(self._matched, self._deletions, object_id, sheet)

    def _untouched(self, one: Pair) -> bool:
        """Whether the mask is as it was exported, and nobody says that a person has looked at it."""
        entry, (answer, *given) = one.drawn.entry, one.known.masks
        if not one.drawn.empty and (entry.confirmed or self._unchanged_counts or one.relabelled):
            return False
        # Where the file does not tell which mask it was given, as a file has any of them it is as it was.
        exported = {None: [answer, *given], True: given, False: [answer]}[entry.kept_given]
        return any(_iou(mask, one.drawn.rle) == 1 for mask in exported)


def deleted(matched: Matched, deletions: bool | None, object_id: str, sheet: Sheet) -> bool:
    """Whether a person has deleted an object that ``sheet`` does not have; ``deletions`` as for :class:`Matcher`."""
    if object_id in matched.unclear or deletions is False:
        return False
    if deletions:
        return True
    accepted = matched.accepted
    if sheet.kind == "label-studio":
        # Accepted masks are an annotation, the others a prediction: a person has one of the two before them.
        return not (accepted[True] or accepted[False])
    return not accepted[True] or bool(accepted[False])


def _iou(one: Rle, other: Rle) -> float:
    return float(rle_iou([one], [other])[0])
