"""What people submitted in Label Studio, kept: a journal of the events, and a data set made of the latest of each task.

The folder is a data set as ``segagent`` reads it: ``images/``, ``masks/`` and ``manifest.jsonl``, one line per mask
with its words, its class and who drew it. ``events.jsonl`` holds everything that Label Studio told, as it told it; all
else is made of it, also by a server that starts again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.annotation.interop.entries import Entry, Problem
from segagent.annotation.interop.from_label_studio import read_label_studio_corrections
from segagent.core import Image, InputError, SegAgentError
from segagent.core.versions import package_versions
from segagent.imaging import encode_png, load_image
from segagent.imaging.writing import made_folder, write_bytes
from segagent.runs.journal import Journal
from segagent.server.label_studio.labelling import Labelling, read_labelling
from segagent.server.worker import Patience, Worker

EVENTS_FILE = "events.jsonl"
MANIFEST_FILE = "manifest.jsonl"
PROBLEMS_FILE = "problems.jsonl"
CREATED = ("ANNOTATION_CREATED", "ANNOTATIONS_CREATED", "ANNOTATION_UPDATED")
DELETED = ("ANNOTATION_DELETED", "ANNOTATIONS_DELETED")
_FETCH_SECONDS = 60.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Submitted:
    """An annotation as it is now. ``number``: of its event; ``place``: project and task."""

    number: int
    place: tuple[str, str]
    when: str
    task: dict[str, Any]
    config: str


@dataclass(frozen=True)
class _Made:
    """What became of it: lines of the manifest, and what is wrong with the rest."""

    number: int
    entries: list[dict[str, Any]]
    problems: list[str]

    @property
    def final(self) -> bool:
        """Whether trying again is of no use: where nothing came of it, its picture may not have been there."""
        return bool(self.entries) or not self.problems


class Corrections:
    """The folder open for writing, by one process at a time. Safe to use from several threads.

    Args:
        folder: made where it is missing.
        read: gives the file of a picture by its address in a task.
        max_pixels: of a picture.
    """

    def __init__(self, folder: Path, read: Callable[[str, Patience], bytes], max_pixels: int) -> None:
        """Raises ``InputError`` for a folder that cannot be used or that another server writes."""
        self.folder = made_folder(folder)
        for name in ("images", "masks"):
            made_folder(self.folder / name)
        self._read, self._max_pixels = read, max_pixels
        self._lock = threading.Lock()
        self._annotations: dict[str, _Submitted] = {}
        self._made: dict[str, _Made] = {}
        path = self.folder / EVENTS_FILE
        self._journal = Journal(path, {"what": "label-studio"}, {"versions": package_versions()}, kept=self._kept)
        self._made = {name: made for name, made in self._made.items() if made.final}
        self._worker = Worker("corrections")
        self._worker.post(self._make)

    def submitted(self, event: dict[str, Any]) -> None:
        """Keep an event of Label Studio's; on return it is on the disk. The data set follows by itself.

        Raises ``InputError`` where it cannot be written.
        """
        self._append({"event": event})
        self._worker.post(self._make)

    def settle(self) -> None:
        """Wait until the data set has all that was submitted before."""
        self._worker.run(self._make, Patience())

    def close(self) -> None:
        """Let others write."""
        self._worker.close()
        with self._lock:
            self._journal.close()

    def _append(self, record: dict[str, Any]) -> None:
        with self._lock:
            number = self._journal.next_unit
            self._journal.append(number, [record])
            self._journal.sync()
            self._take(number, record)

    def _kept(self, record: dict[str, Any]) -> None:
        try:
            self._take(record["unit"][0], record)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{self.folder / EVENTS_FILE}: a line is none of this journal's ({error!r:.80})"
            ) from error

    def _take(self, number: int, record: dict[str, Any]) -> None:
        if "made" in record:
            self._made[record["made"]] = _Made(record["number"], record["entries"], record["problems"])
            return
        event = record["event"]
        if event["action"] in DELETED:
            for one in event["annotations"]:
                self._annotations.pop(str(one["id"]), None)
            return
        tasks = {str(task["id"]): task for task in event["tasks"]}
        for one in event["annotations"]:
            task = tasks[str(one["task"])]
            self._annotations[str(one["id"])] = _Submitted(
                number,
                (str(event["project"]["id"]), str(task["id"])),
                str(one.get("updated_at", "")),
                {"id": task["id"], "data": task["data"], "annotations": [one]},
                event["project"]["label_config"],
            )

    def _make(self) -> None:
        """Bring the data set up to date; in the worker's thread."""
        try:
            latest: dict[tuple[str, str], tuple[str, _Submitted]] = {}
            with self._lock:
                for name, one in self._annotations.items():
                    if one.place not in latest or latest[one.place][1].when <= one.when:
                        latest[one.place] = name, one
            made = [self._up_to_date(name, one) for name, one in latest.values()]
            entries = [entry for one in made for entry in one.entries]
            problems = [{"reason": reason} for one in made for reason in one.problems]
            for file, lines in ((MANIFEST_FILE, entries), (PROBLEMS_FILE, problems)):
                write_bytes(self.folder / file, b"".join(json.dumps(line).encode("ascii") + b"\n" for line in lines))
        except Exception:  # noqa: BLE001 - the next event tries again, and what was submitted is on record
            _log.exception("Label Studio's corrections are kept, but their data set is not up to date")

    def _up_to_date(self, name: str, one: _Submitted) -> _Made:
        known = self._made.get(name)
        if known is None or known.number != one.number:
            known = self._objects(name, one)
            told = {"made": name, "number": one.number, "entries": known.entries, "problems": known.problems}
            self._append(told)
        return known

    def _objects(self, name: str, one: _Submitted) -> _Made:
        """What there is in an annotation; pictures and masks are written."""
        where = "project {}, task {}".format(*one.place)
        made = _Made(one.number, [], [])
        try:
            labelling = read_labelling(one.config)
            pictures: dict[str, tuple[str, Image]] = {}
            for entry in read_label_studio_corrections([one.task], Path(where)):
                if isinstance(entry, Problem):
                    made.problems.append(f"{where}: {entry.where}: {entry.reason}")
                elif isinstance(entry, Entry):
                    try:
                        told = self._object(entry, one.task["data"], labelling, pictures)
                    except ValueError as error:
                        made.problems.append(f"{where}: {entry.where}: {error}")
                        continue
                    told |= {"id": f"{name}-{len(made.entries)}", "project": one.place[0], "task": one.place[1]}
                    made.entries.append(told)
        except SegAgentError as error:
            made.problems.append(f"{where}: {error}")
        for reason in made.problems:
            _log.warning("Label Studio's corrections: %s", reason)
        return made

    def _object(
        self, entry: Entry, data: dict[str, Any], labelling: Labelling, pictures: dict[str, tuple[str, Image]]
    ) -> dict[str, Any]:
        """A line of the manifest. Raises ``ValueError`` for a mask, ``SegAgentError`` for a task that is no use."""
        control, label = labelling.where(entry.label, None)
        address = labelling.address(control, data)
        if address not in pictures:
            pictures[address] = self._picture(address)
        file, image = pictures[address]
        if entry.size != (image.height, image.width):  # Before it is unpacked: it can tell of any number of pixels.
            height, width = entry.size
            raise ValueError(f"drawn on {width} x {height} pixels, the picture has {image.width} x {image.height}")
        mask = entry.draw()
        if not mask.any():
            raise ValueError("the mask is empty")
        sentences = label.sentences(data) if label.value == entry.label else []
        # Of several sentences nobody has said which one this mask is of.
        text = sentences[0] if len(sentences) == 1 else entry.label or label.value
        return {
            "image": file,
            "mask": self._written("masks", encode_png(mask), "png"),
            "text": text,
            "category": entry.label or label.value,
            "by": entry.by,
            "when": entry.when,
        }

    def _picture(self, address: str) -> tuple[str, Image]:
        content = self._read(address, Patience(_FETCH_SECONDS))
        image = load_image("the task's picture", max_pixels=self._max_pixels, content=content)
        kinds = {b"\x89PNG": "png", b"\xff\xd8\xff\xe0": "jpg", b"\xff\xd8\xff\xe1": "jpg", b"RIFF": "webp"}
        kind = kinds.get(content[:4])
        if kind is None:  # Read all the same; written as what every reader knows.
            return self._written("images", encode_png(image.pixels), "png"), image
        return self._written("images", content, kind), image

    def _written(self, folder: str, content: bytes, kind: str) -> str:
        """The path, in the data set, of a file that is named by its content."""
        name = f"{folder}/{hashlib.sha256(content).hexdigest()[:32]}.{kind}"
        path = self.folder / name
        if not path.exists():
            write_bytes(path, content)
        return name
