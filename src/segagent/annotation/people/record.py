"""A run's record of what people did: ``people.jsonl`` in its folder, append-only; what is acknowledged is durable."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from segagent.annotation.people.events import Event
from segagent.annotation.people.standing import Standing, stand
from segagent.core import InputError
from segagent.core.versions import package_versions
from segagent.runs.journal import Journal, read_journal

if TYPE_CHECKING:
    from segagent.annotation.batch.folder import Run

PEOPLE_FILE = "people.jsonl"


class PeopleLog:
    """The record of ``run`` open for writing, by one process at a time: a second one gets an ``InputError``.

    ``standings``: how each object stands that somebody has done something to. Not safe for threads: the caller sees to
    it that one at a time appends.
    """

    def __init__(self, run: Run) -> None:
        self.standings: dict[str, Standing] = {}
        self.number = 0
        """The number of the last event; 0 without any."""
        self._lost = False
        self._requests: dict[str, Event] = {}
        path = run.folder / PEOPLE_FILE

        def kept(data: dict[str, object]) -> None:
            try:
                self._take(Event.from_dict(data))
            except ValueError as error:
                raise InputError(f"{path}: {error}") from error

        notes = {"versions": package_versions()}
        self._journal = Journal(path, _settings(run), notes, kept=kept)

    def done(self, request: str) -> Event | None:
        """The event that was asked for under this name before, or None."""
        return self._requests.get(request)

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Write ``events``, numbered, all or none of them; on return they are on the disk.

        Raises ``InputError`` where they cannot be written; none of them counts then.
        """
        if self._lost:
            raise InputError(f"{self._journal.path}: an earlier write failed; check the disk and open the record anew")
        numbered = [replace(event, number=number) for number, event in enumerate(events, self.number + 1)]
        if numbered:
            self._journal.append(numbered[0].number, [event.to_dict() for event in numbered])
            try:
                self._journal.sync()
            except InputError:
                self._lost = True  # Whether the disk has them nobody knows.
                raise
        for event in numbered:
            self._take(event)
        return numbered

    def close(self) -> None:
        """Let others write."""
        self._journal.close()

    def __enter__(self) -> PeopleLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take(self, event: Event) -> None:
        self.number = event.number
        if event.request is not None:
            self._requests[event.request] = event
        one = self.standings.setdefault(event.object_id, Standing(event.object_id, event.image))
        one.apply(event)


def read_events(run: Run) -> Iterator[Event]:
    """All events of a run, in order; none where nobody has done anything. Raises ``InputError`` naming the file."""
    path = run.folder / PEOPLE_FILE
    if not path.is_file():
        return
    header, records = read_journal(path)
    if header.get("config") != _settings(run):
        raise InputError(f"{path}: is about another run; it belongs to the folder that it was made in")
    together: list[Event] = []
    for data in records:
        try:
            together.append(Event.from_dict(data))
            _, part, parts = data["unit"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: {error}") from error
        if part + 1 == parts:  # What was asked for together counts together.
            yield from together
            together = []


def standings_of(run: Run) -> dict[str, Standing]:
    """How the objects stand that somebody has done something to, by id."""
    return stand(read_events(run))


def _settings(run: Run) -> dict[str, str]:
    told = json.dumps(run.config, sort_keys=True)
    return {"what": "people", "run": hashlib.blake2b(told.encode("utf-8"), digest_size=16).hexdigest()}
