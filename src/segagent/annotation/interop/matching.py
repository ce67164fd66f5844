"""Entries of a file of corrections, found again among the objects of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segagent.annotation.batch import ObjectRecord, Run
from segagent.annotation.interop.entries import Entry, Found, Problem, read_json
from segagent.annotation.interop.from_coco import read_coco_corrections
from segagent.annotation.interop.from_cvat import read_cvat_corrections
from segagent.annotation.interop.from_label_studio import read_label_studio_corrections
from segagent.core import BoolMask, InputError, iou
from segagent.datasets import Sample

FORMATS = ("coco", "label-studio", "cvat")


@dataclass(frozen=True, eq=False)
class Correction:
    """A person's mask for an object of the run. ``iou``: of the run's mask with it, None where the run found none."""

    record: ObjectRecord
    mask: BoolMask
    entry: Entry
    iou: float | None


def read_corrections(path: Path, kind: str | None = None) -> Found:
    """The entries of a file in one of :data:`FORMATS`; None tells it by its content.

    Raises ``InputError`` where the file is none of them; what is wrong with single entries is a :class:`Problem`.
    """
    if kind not in (*FORMATS, None):
        raise InputError(f"format {kind!r:.80}: expected one of {', '.join(FORMATS)}")
    if kind == "cvat" or (kind is None and path.suffix.lower() == ".xml"):
        return read_cvat_corrections(path)
    data = read_json(path)
    if isinstance(data, list) and kind != "coco":
        return read_label_studio_corrections(data, path)
    if isinstance(data, dict) and kind != "label-studio":
        return read_coco_corrections(data, path)
    raise InputError(f"{path}: not a file of corrections; expected Label Studio's or COCO's JSON, or CVAT's XML")


class Matcher:
    """Pairs entries with the run's objects. What becomes of them is told in ``problems`` and ``num_untouched``.

    ``unchanged_counts``: masks as they were exported count as seen by a person, whatever the file tells.
    """

    def __init__(self, run: Run, entries: Found, *, unchanged_counts: bool = False) -> None:
        self._run = run
        self._unchanged_counts = unchanged_counts
        self._samples: dict[str, Sample] | None = None
        self._by_id: dict[str, Entry] = {}
        self._by_label: defaultdict[tuple[str, str], list[Entry]] = defaultdict(list)
        self.problems: list[Problem] = []
        self.num_untouched = 0
        for entry in entries:
            self._add(entry)

    def corrections(self) -> Iterator[Correction]:
        """What could be paired, in the run's order."""
        named = dict(self._by_id)
        if self._by_label:
            named |= self._known_by_label()
        wanted = set(named)
        for record in self._run.objects():
            entry = named.pop(record.object_id, None)
            if entry is None:
                continue
            try:
                correction = self._paired(record, entry)
            except ValueError as error:
                self.problems.append(Problem(entry.where, str(error)))
                continue
            if correction is None:
                self.num_untouched += 1
            else:
                yield correction
        failed = {failure.sample_id for failure in self._run.failures()} & wanted
        for object_id, entry in named.items():
            reason = "failed in the run" if object_id in failed else "is not an object of the run"
            self.problems.append(Problem(entry.where, f"object {object_id!r:.80} {reason}"))

    def _given(self, object_id: str) -> BoolMask:
        """The data set's own mask. Raises ``ValueError`` where it holds none that can be read."""
        if self._samples is None:
            self._samples = {sample.sample_id: sample for sample in self._run.dataset()}
        try:
            return self._samples[object_id].load_target()[0]
        except (KeyError, InputError) as error:
            raise ValueError(f"the data set's mask of object {object_id!r:.80} cannot be read ({error})") from error

    def _add(self, entry: Entry | Problem) -> None:
        if isinstance(entry, Problem):
            self.problems.append(entry)
        elif entry.object_id is not None:
            if entry.object_id in self._by_id:
                self.problems.append(Problem(entry.where, f"object {entry.object_id!r:.80} stands in an earlier entry"))
            else:
                self._by_id[entry.object_id] = entry
        elif entry.image is not None and entry.label is not None:
            self._by_label[entry.image, entry.label].append(entry)
        else:
            self.problems.append(Problem(entry.where, "tells neither an object's id nor image and label"))

    def _known_by_label(self) -> dict[str, Entry]:
        """Entries without an id: the one object of that label in the image that no other entry is about."""
        free: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for record in self._run.objects():
            # Pictures that were no files have ".png" behind their names in exports.
            for image in (record.image, f"{record.image}.png"):
                key = (image, record.category or record.text)
                if key in self._by_label and record.object_id not in self._by_id:
                    free[key].append(record.object_id)
        found = {}
        for key, entries in self._by_label.items():
            if len(entries) == 1 and len(free[key]) == 1:
                found[free[key][0]] = entries[0]
                continue
            reason = f"has no object's id, and {len(free[key])} objects of the run could be meant"
            self.problems += [Problem(entry.where, reason) for entry in entries]
        return found

    def _paired(self, record: ObjectRecord, entry: Entry) -> Correction | None:
        """None where nobody has touched the mask. Raises ``ValueError`` where the two do not fit."""
        trajectory = record.trajectory
        if entry.size != (trajectory.height, trajectory.width):
            raise ValueError(
                f"is for a picture of {entry.size[1]} x {entry.size[0]}, object {record.object_id!r:.80} is in one of "
                f"{trajectory.width} x {trajectory.height} (width x height)"
            )
        mask = entry.draw()
        if not all(click.inside(*mask.shape) for click in entry.clicks):
            raise ValueError("a click lies outside the picture")
        answer = trajectory.mask_at(trajectory.returned)
        exported = self._given(record.object_id) if entry.kept_given else answer
        if np.array_equal(mask, exported) and not entry.confirmed and not self._unchanged_counts:
            return None
        return Correction(record, mask, entry, None if record.outcome == "not_found" else iou(answer, mask))
