"""What people noted about objects, to be searched."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from segagent.annotation.batch.folder import Run
from segagent.annotation.people import read_events


@dataclass(frozen=True, slots=True)
class WrittenNote:
    """A person's words about an object: the event's ``number``, who wrote it and when, as the event has it."""

    number: int
    object_id: str
    image: str
    by: str | None
    when: str | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def notes_of(run: Run, search: str = "") -> Iterator[WrittenNote]:
    """The notes of a run, in order: those that hold every word of ``search``, in whatever case and form of letters."""
    wanted = _folded(search).split()
    for event in read_events(run):
        if event.kind == "note" and event.text and run.takes(event.object_id):
            told = _folded(event.text)
            if all(word in told for word in wanted):
                yield WrittenNote(event.number, event.object_id, event.image, event.by, event.when, event.text)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
