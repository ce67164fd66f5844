"""The record of what people did: durable, numbered, each request once, and how objects stand after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segagent.annotation.batch import Run
from segagent.annotation.people import PEOPLE_FILE, Event, PeopleLog, read_events, stand, standings_of
from segagent.core import InputError, encode_rle, frozen_mask


def rle(pixels: int):
    mask = np.zeros((4, 6), bool)
    mask.flat[:pixels] = True
    return encode_rle(frozen_mask(mask))


def event(kind, object_id="a", by="ann", **more) -> Event:
    return Event(kind, object_id, "1.png", by, "2026-01-01T00:00:00.000Z", "review", **more)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path, {"job": "audit", "dataset": "x"}, {})


def test_events_are_numbered_kept_and_read_again(run: Run) -> None:
    made = [
        event("click", mask=rle(3), did={"x": 1, "y": 2, "positive": True}, tool="disc", seen=0, request="r1"),
        event("verdict", verdict="ok"),
        event("note", "b", text="<b>odd</b>"),
    ]
    with PeopleLog(run) as log:
        told = log.append(made[:1]) + log.append(made[1:])
        assert [one.number for one in told] == [1, 2, 3]
        assert log.done("r1") == told[0]
        with pytest.raises(InputError, match="another process"):
            PeopleLog(run)
    assert list(read_events(run)) == told
    with PeopleLog(run) as log:
        assert log.number == 3
        assert log.done("r1") == told[0]
        assert log.standings == standings_of(run) == stand(told)
        assert log.append([event("undo")])[0].number == 4


def test_a_torn_last_event_never_was(run: Run) -> None:
    with PeopleLog(run) as log:
        log.append([event("verdict", verdict="ok")])
        log.append([event("verdict", verdict="wrong")])
    path = run.folder / PEOPLE_FILE
    whole = path.read_bytes()
    for end in range(whole.rindex(b"\n", 0, -1) + 1, len(whole) - 1, 7):
        path.write_bytes(whole[:end])
        assert [one.verdict for one in read_events(run)] == ["ok"]
        with PeopleLog(run) as log:
            assert log.append([event("verdict", verdict="unsure")])[0].number == 2


def test_the_record_of_another_run_is_refused(run: Run, tmp_path: Path) -> None:
    with PeopleLog(run) as log:
        log.append([event("removed")])
    other = Run(tmp_path, {"job": "refine"}, {})
    with pytest.raises(InputError, match="another run"):
        list(read_events(other))
    with pytest.raises(InputError, match="other settings"):
        PeopleLog(other)


def test_undo_goes_through_everything_and_a_new_event_ends_redo() -> None:
    events = [
        event("click", mask=rle(3), number=1),
        event("verdict", verdict="ok", number=2),
        event("relabelled", label="cat", was="dog", number=3),
        event("removed", number=4),
    ]
    one = stand(events)["a"]
    assert one.now.removed
    assert one.now.label == "cat"
    assert one.now.verdict == "ok"
    for number in range(5, 9):
        one.apply(event("undo", number=number))
    assert one.now == one.moments[0]
    assert not one.can_undo
    one.apply(event("undo", number=9))
    one.apply(event("redo", number=10))
    assert one.now.mask == rle(3)
    assert one.now.verdict is None
    one.apply(event("stroke", mask=rle(9), number=11))
    assert not one.can_redo
    one.apply(event("redo", number=12))
    assert one.now.mask == rle(9)


def test_a_verdict_does_not_outlive_the_mask_it_was_about() -> None:
    one = stand([event("verdict", verdict="ok", number=1), event("stroke", mask=rle(2), number=2)])["a"]
    assert one.now.verdict is None


def test_undoing_never_undoes_that_an_added_object_is_there() -> None:
    one = stand([event("added", mask=rle(2), label="cat", number=1), event("undo", number=2)])["a"]
    assert one.now.mask == rle(2)


def test_two_people_at_one_object_are_told() -> None:
    events = [
        event("verdict", verdict="ok", seen=0, number=1),
        event("verdict", verdict="wrong", by="bob", seen=0, number=2),
        event("verdict", verdict="ok", by="bob", seen=2, number=3),
    ]
    one = stand(events)["a"]
    assert one.contested == [2]
    assert one.people == ["ann", "bob"]
    assert one.now.verdict == "ok"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"kind": "x"}, "kind"), ({"verdict": "fine"}, "verdict"), ({"image": 3}, "image"), ({"schema": "x"}, "schema")],
)
def test_what_is_no_event_is_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Event.from_dict({**event("verdict", verdict="ok").to_dict(), **change})


def test_somebody_elses_event_is_not_hidden_by_ones_own() -> None:
    """Ann has not seen Bob's event, whatever Ann did after it."""
    events = [
        event("verdict", verdict="ok", by="bob", seen=0, number=1),
        event("note", text="x", number=2),
        event("verdict", verdict="wrong", seen=0, number=3),
        event("verdict", verdict="wrong", seen=1, number=4),
    ]
    assert stand(events)["a"].contested == [3]


def test_drawing_brings_a_removed_object_back() -> None:
    one = stand([event("removed", number=1), event("click", mask=rle(2), by="bob", seen=0, number=2)])["a"]
    assert not one.now.removed
    assert one.contested == [2]
    one.apply(event("verdict", verdict="absent", number=3))
    one.apply(event("restored", number=4))
    assert one.now.verdict is None


def test_who_drew_judged_and_named() -> None:
    events = [
        event("stroke", mask=rle(2), number=1),
        event("verdict", by="bob", verdict="ok", number=2),
        event("relabelled", by="cid", label="cat", number=3),
        event("note", by="dan", text="x", number=4),
    ]
    one = stand(events)["a"]
    assert [one.now.drawn, one.now.judged, one.now.named] == events[:3]


@pytest.mark.parametrize(
    ("kind", "more", "made_by"),
    [
        ("take", {"did": {"take": "given"}}, "person"),
        ("take", {"did": {"take": "best"}}, "model"),
        ("agent", {"policy": "p"}, "model"),
        ("added", {"policy": "p", "label": "cat"}, "model"),
        ("added", {"label": "cat"}, "person"),
        ("click", {}, "person"),
    ],
)
def test_whose_mask_it_is(kind, more, made_by) -> None:
    assert stand([event(kind, mask=rle(2), number=1, **more)])["a"].now.made_by == made_by


def test_events_asked_for_together_count_together(run: Run) -> None:
    with PeopleLog(run) as log:
        log.append([event("verdict", verdict="ok")])
        log.append([event("verdict", verdict="wrong"), event("note", text="why")])
    path = run.folder / PEOPLE_FILE
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    assert [one.number for one in read_events(run)] == [1]
    with PeopleLog(run) as log:
        assert [one.number for one in log.append([event("undo"), event("undo")])] == [2, 3]
    assert [one.number for one in read_events(run)] == [1, 2, 3]


def test_what_could_not_be_written_never_was(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a moment costs the event, not the record."""
    with PeopleLog(run) as log:
        log.append([event("verdict", verdict="ok")])
        file = log._journal._file

        class Full:
            def __getattr__(self, name: str):
                return getattr(file, name)

            def write(self, data: bytes) -> int:
                if len(data) > 60:
                    return file.write(bytes(data[:-60]))
                raise OSError(28, "No space left on device")

        monkeypatch.setattr(log._journal, "_file", Full())
        with pytest.raises(InputError, match="No space left"):
            log.append([event("removed", request="r")])
        assert log.done("r") is None
        monkeypatch.setattr(log._journal, "_file", file)
        assert log.append([event("removed", request="r")])[0].number == 2
    assert [one.kind for one in read_events(run)] == ["verdict", "removed"]
