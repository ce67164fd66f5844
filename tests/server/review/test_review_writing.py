"""The record is written for many at once, each told only when the disk has it; a write that fails loses nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from segagent.annotation.batch import open_run
from segagent.annotation.people import Event, PeopleLog, read_events
from segagent.core import InputError
from segagent.server.review.writing import GroupWriter


def note(name: str) -> Event:
    return Event("note", "fine", "a.png", "Ann", None, "review", text=name, request=name)


def test_many_at_once_share_the_wait_for_the_disk(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Event] = []
    writer = GroupWriter(open_run(run), taken.extend)
    batches, held, first = [], threading.Event(), threading.Event()
    append = PeopleLog.append

    def slow(log: PeopleLog, events: list[Event]) -> list[Event]:
        batches.append(len(events))
        first.set()
        held.wait(10)
        return append(log, events)

    monkeypatch.setattr(PeopleLog, "append", slow)
    with ThreadPoolExecutor(21) as people:
        asked = [people.submit(writer.append, [note("0")])]
        first.wait(10)
        asked += [people.submit(writer.append, [note(str(n))]) for n in range(1, 21)]
        while writer.waiting < 20:
            pass
        held.set()
        numbers = [one.result()[0].number for one in asked]
    writer.close()
    assert batches == [1, 20]
    assert sorted(numbers) == list(range(1, 22)) == [event.number for event in taken]
    assert [event.text for event in read_events(open_run(run))] == [event.text for event in taken]


def test_nobody_is_told_before_the_disk_has_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    order: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (sync(file), order.append("disk"))[0])
    writer = GroupWriter(open_run(run), lambda events: order.append("told"))
    order.clear()
    writer.append([note("a")])
    assert order == ["disk", "told"]
    writer.close()


def test_a_disk_that_was_full_is_tried_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Event] = []
    writer = GroupWriter(open_run(run), taken.extend)
    writer.append([note("a")])
    append = PeopleLog.append

    def full(log: PeopleLog, events: list[Event]) -> list[Event]:
        append(log, events)
        raise InputError("no space left")

    monkeypatch.setattr(PeopleLog, "append", full)
    with pytest.raises(InputError, match="no space left"):
        writer.append([note("b")])
    monkeypatch.undo()
    # Whether "b" is on the disk nobody was told. It is, so it counts, once.
    assert writer.append([note("c")])[0].number == 3
    assert [event.text for event in taken] == ["a", "b", "c"]
    writer.close()
    assert [event.text for event in read_events(open_run(run))] == ["a", "b", "c"]


def test_a_fault_of_ours_is_told_to_who_waits_and_the_next_is_served(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = GroupWriter(open_run(run), lambda events: None)
    with monkeypatch.context() as patch:
        patch.setattr(PeopleLog, "append", lambda log, events: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            writer.append([note("a")])
    assert writer.append([note("b")])[0].number == 1
    writer.close()
