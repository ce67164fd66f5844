"""The run's record of people, written for many at once: each waits until their event is on the disk, and no longer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from segagent.annotation.batch import Run
from segagent.annotation.people import Event, PeopleLog, read_events
from segagent.core import InputError


@dataclass(frozen=True, slots=True)
class _Asked:
    events: Sequence[Event]
    written: Future[list[Event]] = field(default_factory=Future)


class GroupWriter:
    """One thread that appends to a run's ``people.jsonl``; what waits meanwhile shares the next wait for the disk."""

    def __init__(self, run: Run, taken: Callable[[Sequence[Event]], None]) -> None:
        """Open the record. ``taken`` is given all events, those that are there already and each new one, in order.

        It is called before anybody is told that their event is written. Raises ``InputError`` where the record cannot
        be used, or another process writes it.
        """
        self._run, self._taken = run, taken
        self._number = 0
        self._log: PeopleLog | None = None
        self._open()
        self._asked: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="people's record", daemon=True)
        self._thread.start()

    def append(self, events: Sequence[Event]) -> list[Event]:
        """``events`` as they are written, numbered; on return they are on the disk.

        Raises ``InputError`` where they cannot be written, or it is not known whether they are: whoever asks again
        under the same request name gets the answer.
        """
        asked = _Asked(events)
        self._asked.put(asked)
        return asked.written.result()

    @property
    def waiting(self) -> int:
        """How many are waiting for the writes that are going on to end."""
        return self._asked.qsize()

    def close(self) -> None:
        """Write what waits, and let others open the record."""
        self._asked.put(None)
        self._thread.join()
        if self._log is not None:
            self._log.close()

    def _write(self) -> None:
        while True:
            waiting = [self._asked.get()]
            while not self._asked.empty():
                waiting.append(self._asked.get())
            batch = [one for one in waiting if one is not None]
            if batch:
                self._write_all(batch)
            if len(batch) < len(waiting):
                return

    def _write_all(self, batch: Sequence[_Asked]) -> None:
        try:
            if self._log is None:
                self._open()
            assert self._log is not None
            written = self._log.append([event for one in batch for event in one.events])
            self._take(written)
        except Exception as error:  # noqa: BLE001 - it is told to all who wait; without this thread nobody is answered
            # What was written in part stands at the end of the file. Opening it anew cuts that off.
            log, self._log = self._log, None
            _close(log)
            for one in batch:
                one.written.set_exception(InputError(str(error)) if isinstance(error, InputError) else error)
            return
        place = 0
        for one in batch:
            one.written.set_result(written[place : place + len(one.events)])
            place += len(one.events)

    def _open(self) -> None:
        self._log = PeopleLog(self._run)
        self._take([event for event in read_events(self._run) if event.number > self._number])

    def _take(self, events: Sequence[Event]) -> None:
        if events:
            self._taken(events)
            self._number = events[-1].number


def _close(log: PeopleLog | None) -> None:
    if log is not None:
        try:
            log.close()
        except InputError:
            return  # The disk that did not take the events does not take this either; the file is closed all the same.
