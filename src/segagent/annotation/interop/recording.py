"""``segagent import FILE --run RUN``: what people did in another program enters the run's record, as events.

What a file says is what it says differently from what it was exported as. So its masks and classes are compared with
those at the time of the export, which the export tells (``Entry.seen``), and what others have done since stays unless
the file's author has changed the same object: the last word wins then, and the event is marked contested.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segagent.annotation.batch import Run
from segagent.annotation.interop.coco_joined import is_written_into
from segagent.annotation.interop.corrections import deleted
from segagent.annotation.interop.entries import Entry, Found, Problem, Sheet
from segagent.annotation.interop.importing import Done, RecordOptions, new_object_id
from segagent.annotation.interop.matching import Matched, match, read_corrections
from segagent.annotation.interop.pairing import Drawn, Known, Pair, plain_label
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.people import (
    GONE,
    PEOPLE_FILE,
    Event,
    EventKind,
    LeftObject,
    PeopleLog,
    objects_left,
    read_events,
    stand,
)
from segagent.core import InputError, Rle
from segagent.core.rle import rle_areas
from segagent.core.texts import read_file
from segagent.runs.journal import JournalInUseError


@dataclass
class Recorded(Done):
    """What came of a file: the ``events`` that were added to the record; ``num_known`` were in it before."""

    num_known: int = 0


def record_corrections(run: Run, path: str | Path, options: RecordOptions = RecordOptions()) -> Recorded:  # noqa: B008 - frozen
    """Add what people did to the objects of ``run`` in the file ``path`` to the run's record, all or nothing.

    The same file adds nothing a second time. Entries that nothing can be made of are in ``problems``; the others go on.
    Raises ``InputError`` for a file that is no file of corrections, and where the record cannot be written, above all
    while a review server holds it.
    """
    source = Path(path)
    content = read_file(source, "expected Label Studio's or COCO's JSON, or CVAT's XML")
    reading = _Reading(run, read_corrections(source, options.kind), source.name, _digest(content), options)
    wanted = list(reading.events())
    result = reading.result
    if not wanted:
        return result
    try:
        with PeopleLog(run) as log:
            new = [event for event in wanted if event.request is None or log.done(event.request) is None]
            result.num_known = len(wanted) - len(new)
            result.events = log.append(new)
    except JournalInUseError as error:
        raise InputError(
            f"{run.folder / PEOPLE_FILE}: another process is writing it, probably a review server (segagent review "
            "--serve); stop that one, import, and start it again: nothing of the file was taken"
        ) from error
    return result


class _Reading:
    """One file on its way into the record."""

    def __init__(self, run: Run, found: Found, source: str, digest: str, options: RecordOptions) -> None:
        self._run, self._source, self._digest, self._options = run, source, digest, options
        self.result = Recorded()
        self._seen: int | None = None
        self._dataset = run.dataset()
        self._pictures = Pictures(self._dataset)
        self._matched: Matched = match(run, self._noting(found), self._dataset)
        events = list(read_events(run))
        self._now = self._objects(events)
        seen = self._seen
        self._then = self._now if seen is None else self._objects([e for e in events if e.number <= seen])

    def _objects(self, events: Sequence[Event]) -> dict[str, LeftObject]:
        """The objects that the file tells of, or lacks, as they stand after ``events``, by id."""
        wanted = self._matched.pairs.keys() | self._matched.absent.keys()
        left = objects_left(self._run, self._dataset, stand(events))
        found = {one.object_id: one for one in left if one.object_id in wanted}
        for sample in self._dataset:
            if sample.sample_id in wanted:
                one = found.get(sample.sample_id, LeftObject(sample.sample_id, sample.image_name))
                if one.record is None:
                    found[sample.sample_id] = replace(one, said=(sample.text, sample.category))
        return found

    def _noting(self, found: Found) -> Found:
        """Pass on what is found, and note up to which event the file's author had seen the record."""
        for one in found:
            if isinstance(one, Entry) and one.seen is not None:
                self._seen = max(self._seen or 0, one.seen)
            yield one

    def events(self) -> Iterator[Event]:
        """What the file says, in the order: objects of the run, new ones, removed ones."""
        result, matched = self.result, self._matched
        result.problems = matched.problems
        for object_id, one in matched.pairs.items():
            made = list(self._of_pair(one, self._now[object_id], self._then.get(object_id)))
            result.num_untouched += not made
            yield from made
        for image, drawn in matched.new:
            yield from self._new(image, drawn)
        blank = {one.object_id: one for one in matched.blank if not one.crowd}
        for object_id, sheet in matched.absent.items():
            if object_id in blank:
                if self._now[object_id].rle is not None:
                    reason = "has no segmentation; to remove the object, remove the annotation"
                    result.problems.append(Problem(blank[object_id].where, reason))
            elif self._was_in_the_export(object_id, sheet) and deleted(
                matched, self._options.deletions, object_id, sheet
            ):
                yield self._event("removed", self._now[object_id], sheet.where, sheet.by, sheet.when)
            else:
                result.num_missing += 1

    def _was_in_the_export(self, object_id: str, sheet: Sheet) -> bool:
        """Whether the object was there when the file was exported: nobody has deleted what came later."""
        now, then = self._now[object_id], self._then.get(object_id)
        # COCO files are given back whole, with the masks of objects that the run has none of.
        whole = sheet.kind == "coco" and is_written_into(self._dataset) and not now.added
        if self._seen is None:
            return whole or _has_pixels(now.answer) or self._options.deletions is True
        return then is not None and then.stands not in GONE and (whole or _has_pixels(then.rle))

    def _of_pair(self, one: Pair, now: LeftObject, then: LeftObject | None) -> Iterator[Event]:
        entry, known, rle = one.drawn.entry, one.known, one.drawn.rle
        place = (now, entry.where, entry.by, entry.when, one.how)
        exported = self._exported(entry, known, then)
        if one.drawn.empty:
            if now.stands not in GONE and exported and all(map(_has_pixels, exported)):
                yield self._event("removed", *place)
            return
        label = entry.label if self._is_new_label(entry, known, then) else None
        if not any(_same(rle, mask) for mask in exported):
            if not _same(rle, now.rle) or now.stands in GONE:
                yield self._event("corrected", *place, mask=rle)
        elif (entry.confirmed or self._options.unchanged_counts) and label is None and _is_open(now, rle):
            yield self._event("confirmed", *place)
        if label is not None and plain_label(label) != plain_label(_label(now)):
            yield self._event("relabelled", *place, label=label, was=_label(now))

    def _exported(self, entry: Entry, known: Known, then: LeftObject | None) -> tuple[Rle, ...]:
        """The masks that the file may have been given of the object."""
        given = known.masks[1:] if known.answered else known.masks
        if self._seen is None:
            return (*known.masks, *known.by_people)
        by_people = () if then is None or then.now.mask is None else (then.now.mask,)
        answer = by_people or known.masks[: known.answered]
        if entry.kept_given is None:
            return (*answer, *known.masks)
        return given if entry.kept_given else answer or given

    def _is_new_label(self, entry: Entry, known: Known, then: LeftObject | None) -> bool:
        if entry.label is None:
            return False
        if self._seen is None or then is None:
            return not known.is_called(entry.label)
        return plain_label(entry.label) != plain_label(_label(then))

    def _new(self, image: str, drawn: Drawn) -> Iterator[Event]:
        entry, label = drawn.entry, drawn.entry.label or ""
        size = self._pictures.size_of(image)
        if size != entry.size:
            has = "which cannot be read" if size is None else f"which has {size[1]} x {size[0]} (width x height)"
            reason = f"is for a picture of {entry.size[1]} x {entry.size[0]}, not for {image!r:.120}, {has}"
            self.result.problems.append(Problem(entry.where, reason))
            return
        new = LeftObject(new_object_id(image, entry, drawn.rle["counts"]), image)
        yield self._event("added", new, entry.where, entry.by, entry.when, mask=drawn.rle, label=label)

    def _event(
        self,
        kind: EventKind,
        one: LeftObject,
        where: str,
        by: str | None,
        when: str | None,
        matched: str | None = None,
        **more: Any,
    ) -> Event:
        told = [self._digest, kind, one.object_id, more.get("label"), (more.get("mask") or {}).get("counts")]
        request = f"import-{_digest(json.dumps(told).encode('ascii'))}"
        return Event(
            kind,
            one.object_id,
            one.image,
            by or self._options.by,
            when,
            self._source,
            where,
            matched,
            seen=self._seen,
            request=request,
            **more,
        )


def _is_open(one: LeftObject, rle: Rle) -> bool:
    """Whether ``rle`` is the object's mask and nobody has accepted that."""
    return _same(rle, one.rle) and one.accepted is not True and one.stands not in GONE


def _label(one: LeftObject) -> str:
    return one.category or one.text


def _has_pixels(rle: Rle | None) -> bool:
    return rle is not None and bool(rle_areas([rle])[0])


def _same(one: Rle, other: Rle | None) -> bool:
    return other is not None and one["counts"] == other["counts"] and list(one["size"]) == list(other["size"])


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
