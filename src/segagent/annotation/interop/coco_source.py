"""COCO in, COCO out: the source file's own text, byte for byte, with what the run found out and people did put in.

A scored annotation gets one more key, ``"segagent"``, before its closing brace. Where a mask was repaired or a person
made another, the values of ``segmentation``, ``area`` and ``bbox`` are exchanged and the former ones kept in
``"segagent": {"replaced": ...}``, in their own words. The new mask is an exact RLE, compressed unless the former one
was an uncompressed RLE; polygons could only come close. So with ``category_id`` and ``text`` where a person has given
another class or sentence. What people have removed is left out, what they have added stands behind the others, and so
do classes and pictures that the file did not have. No other byte changes; UTF-16 becomes UTF-8.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import IO, Any

from segagent.annotation.batch.folder import Run
from segagent.annotation.interop.answers import Answer, Answers
from segagent.annotation.interop.json_spans import Span, read_name, read_objects, skip_blank, value_end
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.core import InputError, decode_rle, encode_rle
from segagent.core.texts import decode_text, read_file
from segagent.datasets import CocoDataset
from segagent.datasets.coco_masks import decode_segmentation, encode_counts
from segagent.environment.simulated import box_around

_EXCHANGED = ("segmentation", "area", "bbox")


@dataclass
class Written:
    """What a file holds: ``num_left_out`` annotations are not in it for ``only_accepted``; ``removed``: those that
    people have removed, as they stood in the source, by object id.
    """

    num_left_out: int = 0
    removed: dict[str, Any] = field(default_factory=dict)


def write_into_source(
    answers: Answers, dataset: CocoDataset, out: IO[bytes], names: Mapping[str, str] | None = None
) -> Written:
    """Write the file of ``dataset`` with the answers in it. ``names``: objects' ids by annotations', where they differ.

    Raises ``InputError`` where the source can no longer be read.
    """
    source = dataset.path
    content = read_file(source)
    if not json.detect_encoding(content).startswith("utf-8"):
        content = decode_text(content, source).encode("utf-8")  # Places are counted in bytes of UTF-8.
    with TemporaryFile() as aside:
        notes = _Notes(aside, dataset)
        notes.take(answers)
        try:
            untouched = _untouched(answers.run)
            return _Writer(
                content, out, notes, only_accepted=answers.only_accepted, untouched=untouched, names=names or {}
            ).write()
        except ValueError as error:
            raise InputError(f"{source}: not COCO annotations that can be written back ({error})") from error


class _Notes:
    """What is known of each object, in a file, for the source has its own order; and all that is new to the source."""

    def __init__(self, file: IO[bytes], dataset: CocoDataset) -> None:
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        self.category_ids, self.image_ids = dict(dataset.category_ids), dict(dataset.image_ids)
        self.added: list[str] = []
        """The ids of objects that people have added."""
        self.more: dict[str, list[dict[str, Any]]] = {"images": [], "categories": []}
        """Entries of the lists of those names that the source does not have."""

    def take(self, answers: Answers) -> None:
        """Go through all objects."""
        place = 0
        for entry in answers.every():
            note: dict[str, Any] = {"facts": entry.facts}
            if isinstance(entry, Answer):
                note["final"] = entry.final
                if entry.outcome not in ("audited", "kept"):
                    note["rle"] = entry.rle
                    note["by_people"] = entry.outcome not in ("repaired", "made")
            elif entry.gone:
                note["gone"] = True
            if isinstance(entry, Answer) and entry.outcome == "added":
                if answers.only_accepted and not entry.accepted:
                    continue
                self.added.append(entry.object_id)
                height, width = entry.rle["size"]
                image = {"file_name": entry.image, "height": height, "width": width}
                note["image_id"] = self._known(entry.image, self.image_ids, "images", image)
            if entry.label_is_new or "image_id" in note:
                category = {"name": entry.label}
                note["category_id"] = self._known(entry.label, self.category_ids, "categories", category)
            if entry.text_is_new or ("image_id" in note and entry.text != entry.label):
                note["text"] = entry.text
            if entry.facts:
                line = json.dumps(note).encode("ascii")
                self._file.write(line)
                self._places[entry.object_id] = (place, len(line))
                place += len(line)

    def of(self, object_id: str) -> dict[str, Any] | None:
        """What is known of the object; None for nothing."""
        place = self._places.get(object_id)
        if place is None:
            return None
        self._file.seek(place[0])
        note: dict[str, Any] = json.loads(self._file.read(place[1]))
        return note

    def _known(self, name: str, ids: dict[str, int | str], section: str, entry: dict[str, Any]) -> int | str:
        """The id of a class or picture, which is told to be added where the source does not have it."""
        if name not in ids:
            ids[name] = free_id(ids.values())
            self.more[section].append({"id": ids[name], **entry})
        return ids[name]


def free_id(taken: Iterable[int | str]) -> int | str:
    """An id that is none of ``taken``: a number above them, as text where all of them are text."""
    ids = list(taken)
    numbers = [int(one) for one in ids if isinstance(one, int) or (one.isascii() and one.isdigit())]
    number = max([0, *numbers]) + 1
    return str(number) if ids and all(isinstance(one, str) for one in ids) else number


def _untouched(run: Run) -> Callable[[str], bool]:
    """Which annotations, by id, stay as they are whatever becomes of others: those that were not chosen."""
    if not run.made_of_some:
        return lambda object_id: not run.takes(object_id)
    known = frozenset(run.ids())
    return lambda object_id: object_id not in known


class _Writer:
    def __init__(
        self,
        content: bytes,
        out: IO[bytes],
        notes: _Notes,
        *,
        only_accepted: bool,
        untouched: Callable[[str], bool],
        names: Mapping[str, str],
    ) -> None:
        self._content, self._text = content, content.decode("latin-1")
        self._out, self._notes, self._names = out, notes, names
        self._only_accepted, self._untouched = only_accepted, untouched
        self._written = 0
        self._ids: list[int | str] = []
        self._found = Written()

    def write(self) -> Written:
        place = skip_blank(self._text, len(codecs.BOM_UTF8) * self._content.startswith(codecs.BOM_UTF8))
        if self._text[place : place + 1] != "{":
            raise ValueError("expected an object")
        place = skip_blank(self._text, place + 1)
        names: list[str] = []
        while self._text[place : place + 1] != "}":
            name, begin = read_name(self._text, place, first=not names)
            names.append(name)
            if name == "annotations":
                place = self._annotations(begin)
            elif self._notes.more.get(name):
                place = self._listed(begin, self._notes.more[name])
            else:
                place = value_end(self._text, begin)
            place = skip_blank(self._text, place)
        if names.count("annotations") != 1:
            raise ValueError(f"it has {names.count('annotations')} lists 'annotations'")
        self._copy_to(len(self._content))
        return self._found

    def _annotations(self, start: int) -> int:
        """Copy the list with its changes; gives the place behind it."""
        end, kept_any, first = start + 1, False, True
        for span in read_objects(self._text, start):
            if first:
                self._copy_to(span.start)
            end, first = span.end, False
            object_id = self._object_id(span)
            note = self._notes.of(object_id)
            if self._is_left_out(span, note, object_id):
                self._written = span.end
                continue
            if kept_any:
                self._copy_to(span.start)
            self._written = span.start
            for begin, stop, value in _edits(span, note, self._content):
                self._copy_to(begin)
                self._out.write(value)
                self._written = stop
            self._copy_to(span.end)
            kept_any = True
        if self._notes.added:
            if first:
                self._copy_to(end)
            free = free_id(self._ids)
            added = [
                self._new_annotation(object_id, number if isinstance(free, int) else str(number))
                for number, object_id in enumerate(self._notes.added, int(free))
            ]
            self._append(added, first=not kept_any)
        return skip_blank(self._text, end) + 1

    def _listed(self, start: int, more: list[dict[str, Any]]) -> int:
        """Copy a list and put ``more`` entries behind its own; gives the place behind it."""
        end, first = start + 1, True
        for span in read_objects(self._text, start):
            end, first = span.end, False
        self._copy_to(end)
        self._append(more, first=first)
        return skip_blank(self._text, end) + 1

    def _append(self, entries: list[dict[str, Any]], *, first: bool) -> None:
        text = ", ".join(json.dumps(entry) for entry in entries)
        self._out.write((text if first else f", {text}").encode("ascii"))

    def _new_annotation(self, object_id: str, identity: int | str) -> dict[str, Any]:
        note = self._notes.of(object_id)
        assert note is not None
        return {
            "id": identity,
            "image_id": note["image_id"],
            "category_id": note["category_id"],
            "iscrowd": 0,
            **_mask_values(note["rle"], uncompressed=False),
            **({"text": note["text"]} if "text" in note else {}),
            PROVENANCE_KEY: note["facts"],
        }

    def _object_id(self, span: Span) -> str:
        identity = self._value(span, "id")
        if isinstance(identity, float) and identity.is_integer():
            identity = int(identity)  # As the reader takes it.
        if isinstance(identity, int | str):
            self._ids.append(identity)
        return self._names.get(str(identity), str(identity))

    def _is_left_out(self, span: Span, note: dict[str, Any] | None, object_id: str) -> bool:
        if note is not None and note.get("gone"):
            self._found.removed[object_id] = json.loads(self._content[span.start : span.end].decode("utf-8"))
            return True
        if not self._only_accepted or (note is None and self._value(span, "iscrowd")):
            return False
        if note is None and self._untouched(object_id):
            return False
        left_out = note is None or not note["facts"].get("accepted") or "final" not in note
        self._found.num_left_out += left_out
        return left_out

    def _value(self, span: Span, name: str) -> Any:
        member = span.member(name)
        return None if member is None else json.loads(self._content[member.start : member.end].decode("utf-8"))

    def _copy_to(self, place: int) -> None:
        self._out.write(self._content[self._written : place])
        self._written = place


def _edits(span: Span, note: dict[str, Any] | None, content: bytes) -> list[tuple[int, int, bytes]]:
    """What to write in place of the bytes from one place to another, in order."""
    if note is None:
        return []
    more: dict[str, bytes] = {}
    values: dict[str, Any] = {}
    if "rle" in note:
        former = _former(span, content)
        uncompressed = isinstance(former, dict) and isinstance(former.get("counts"), list)
        mask = _mask_values(note["rle"], uncompressed=uncompressed)
        if not note["final"]:
            more["proposal"] = json.dumps(mask).encode("ascii")
        elif not (note["by_people"] and _is_mask(former, note["rle"])):
            values = {name: mask[name] for name in _EXCHANGED if name == "segmentation" or span.member(name)}
    values |= {name: note[name] for name in ("category_id", "text") if name in note}
    edits: list[tuple[int, int, bytes]] = []
    new: dict[str, bytes] = {}
    replaced: dict[str, bytes] = {}
    for name, value in values.items():
        member, written = span.member(name), json.dumps(value).encode("ascii")
        if member is None:
            new[name] = written
        else:
            edits.append((member.start, member.end, written))
            replaced[name] = content[member.start : member.end]
    if values:
        more["replaced"] = _joined(replaced)
    earlier = span.member(PROVENANCE_KEY)
    if earlier is not None:
        more["earlier"] = content[earlier.start : earlier.end]
    told = _joined({name: json.dumps(value).encode("ascii") for name, value in note["facts"].items()} | more)
    if earlier is not None:
        edits.append((earlier.start, earlier.end, told))
    else:
        new[PROVENANCE_KEY] = told
    if new:
        # Every annotation has an id, so there is a member to stand behind.
        last = span.members[-1].end
        edits.append((last, last, b", " + _joined(new)[1:-1]))
    return sorted(edits)


def _joined(values: dict[str, bytes]) -> bytes:
    """An object of values that are JSON already."""
    return b"{" + b", ".join(json.dumps(name).encode("ascii") + b": " + value for name, value in values.items()) + b"}"


def _former(span: Span, content: bytes) -> Any:
    member = span.member("segmentation")
    return None if member is None else json.loads(content[member.start : member.end].decode("utf-8"))


def _is_mask(segmentation: Any, rle: Any) -> bool:
    """Whether both are the same pixels: then a person has gone back to the mask that was there."""
    try:
        return bool((decode_segmentation(segmentation, *rle["size"]) == decode_rle(rle)).all())
    except ValueError:
        return False


def _mask_values(rle: Any, *, uncompressed: bool) -> dict[str, Any]:
    """The three values that tell of a mask."""
    mask = decode_rle(rle)
    box = box_around(mask)
    assert box is not None
    return {
        "segmentation": encode_counts(mask) if uncompressed else encode_rle(mask),
        "area": int(mask.sum()),
        "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
    }
