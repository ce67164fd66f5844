"""COCO in, COCO out: the source file's own text, byte for byte, with what the run found out put in.

A scored annotation gets one more key, ``"segagent"``, before its closing brace. Where a mask was repaired, the values
of ``segmentation``, ``area`` and ``bbox`` are exchanged and the former ones kept in ``"segagent": {"replaced": ...}``,
in their own words. The new mask is an exact RLE, compressed unless the former one was an uncompressed RLE; polygons
could only come close. No other byte changes; UTF-16 becomes UTF-8.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

from segagent.annotation.batch import Run
from segagent.annotation.interop.answers import Answer, Answers
from segagent.annotation.interop.json_spans import Span, read_name, read_objects, skip_blank, value_end
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.core import InputError, decode_rle, encode_rle
from segagent.core.texts import decode_text, read_file
from segagent.datasets.coco_masks import encode_counts
from segagent.environment.simulated import box_around

_EXCHANGED = ("segmentation", "area", "bbox")


def write_into_source(answers: Answers, source: Path, out: IO[bytes]) -> int:
    """Write ``source`` with the answers in it; gives how many annotations were left out (``only_accepted``).

    Raises ``InputError`` where the source can no longer be read.
    """
    content = read_file(source)
    if not json.detect_encoding(content).startswith("utf-8"):
        content = decode_text(content, source).encode("utf-8")  # Places are counted in bytes of UTF-8.
    with TemporaryFile() as aside:
        places = _set_aside(answers, aside)
        try:
            return _Writer(
                content, out, aside, places, only_accepted=answers.only_accepted, untouched=_untouched(answers.run)
            ).write()
        except ValueError as error:
            raise InputError(f"{source}: not COCO annotations that can be written back ({error})") from error


def _set_aside(answers: Answers, file: IO[bytes]) -> dict[str, tuple[int, int]]:
    """Write what is known of each object to ``file`` and give where it stands: the source has its own order."""
    places: dict[str, tuple[int, int]] = {}
    place = 0
    for entry in answers.every():
        note: dict[str, Any] = {"facts": entry.facts}
        if isinstance(entry, Answer):
            note["final"] = entry.accepted is not False
            if entry.outcome in ("repaired", "made"):
                note["rle"] = entry.rle
        if entry.facts:
            line = json.dumps(note).encode("ascii")
            file.write(line)
            places[entry.object_id] = (place, len(line))
            place += len(line)
    return places


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
        aside: IO[bytes],
        places: dict[str, tuple[int, int]],
        *,
        only_accepted: bool,
        untouched: Callable[[str], bool],
    ) -> None:
        self._content, self._text = content, content.decode("latin-1")
        self._out, self._aside, self._places = out, aside, places
        self._only_accepted, self._untouched = only_accepted, untouched
        self._written = 0
        self._num_left_out = 0

    def write(self) -> int:
        place = skip_blank(self._text, len(codecs.BOM_UTF8) * self._content.startswith(codecs.BOM_UTF8))
        if self._text[place : place + 1] != "{":
            raise ValueError("expected an object")
        place = skip_blank(self._text, place + 1)
        names: list[str] = []
        while self._text[place : place + 1] != "}":
            name, begin = read_name(self._text, place, first=not names)
            names.append(name)
            place = self._annotations(begin) if name == "annotations" else value_end(self._text, begin)
            place = skip_blank(self._text, place)
        if names.count("annotations") != 1:
            raise ValueError(f"it has {names.count('annotations')} lists 'annotations'")
        self._copy_to(len(self._content))
        return self._num_left_out

    def _annotations(self, start: int) -> int:
        """Copy the list with its changes; gives the place behind it."""
        end, kept_any, first = start + 1, False, True
        for span in read_objects(self._text, start):
            if first:
                self._copy_to(span.start)
            end, first = span.end, False
            note = self._note(span)
            if self._is_left_out(span, note):
                self._num_left_out += 1
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
        return skip_blank(self._text, end) + 1

    def _note(self, span: Span) -> dict[str, Any] | None:
        identity = self._value(span, "id")
        if isinstance(identity, float) and identity.is_integer():
            identity = int(identity)  # As the reader takes it.
        place = self._places.get(str(identity))
        if place is None:
            return None
        self._aside.seek(place[0])
        note: dict[str, Any] = json.loads(self._aside.read(place[1]))
        return note

    def _is_left_out(self, span: Span, note: dict[str, Any] | None) -> bool:
        if not self._only_accepted or (note is None and self._value(span, "iscrowd")):
            return False
        if note is None and self._untouched(str(self._value(span, "id"))):
            return False
        return note is None or not note["facts"].get("accepted") or "final" not in note

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
    edits: list[tuple[int, int, bytes]] = []
    more: dict[str, bytes] = {}
    new: dict[str, bytes] = {}
    if "rle" in note:
        values = _mask_values(note["rle"], span, content)
        if note["final"]:
            exchanged = [member for name in _EXCHANGED if (member := span.member(name)) is not None]
            edits = [(m.start, m.end, json.dumps(values[m.name]).encode("ascii")) for m in exchanged]
            more["replaced"] = _joined({m.name: content[m.start : m.end] for m in exchanged})
            if span.member("segmentation") is None:
                new["segmentation"] = json.dumps(values["segmentation"]).encode("ascii")
        else:
            more["proposal"] = json.dumps(values).encode("ascii")
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


def _mask_values(rle: Any, span: Span, content: bytes) -> dict[str, Any]:
    """The three values that tell of a mask; the RLE compressed unless the former one was not."""
    mask = decode_rle(rle)
    box = box_around(mask)
    assert box is not None
    former = span.member("segmentation")
    given = None if former is None else json.loads(content[former.start : former.end].decode("utf-8"))
    uncompressed = isinstance(given, dict) and isinstance(given.get("counts"), list)
    return {
        "segmentation": encode_counts(mask) if uncompressed else encode_rle(mask),
        "area": int(mask.sum()),
        "bbox": [box.x0, box.y0, box.x1 - box.x0, box.y1 - box.y0],
    }
