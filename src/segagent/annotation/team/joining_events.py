"""People's records of several runs as one: in the order of time, numbered anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from segagent.annotation.people import Event, read_events
from segagent.annotation.team.batches import Batch


@dataclass(frozen=True, slots=True)
class JoinedEvents:
    """``events`` are numbered from 1, and say by the new numbers what their authors had ``seen``.

    ``told``: what is to be known, a line each.
    """

    events: list[Event]
    told: list[str]


@dataclass(frozen=True, slots=True)
class _Placed:
    """An event of the run at ``place``; ``name``: its object's in the whole; ``time`` in seconds, to order by."""

    place: int
    event: Event
    name: str
    time: float


def joined_events(batches: Sequence[Batch], dropped: Collection[tuple[int, str]]) -> JoinedEvents:
    """The events of all batches. Those about objects of runs in ``dropped``, (place, object) each, are left out.

    Each object's events keep their order. What was done to an object in one run stays together, so that an undo goes
    back over what it went back over there; of several runs the one whose last event is later comes last, and counts. An
    event that two runs have, because one is the other's copy, is taken once. Who had seen nobody else's work on such an
    object has not seen what was done to it in another run either: then ``seen`` is 0.
    """
    placed = [one for place, batch in enumerate(batches) for one in _timed(place, batch)]
    kept = [one for one in placed if (one.place, one.name) not in dropped]
    told = (
        [f"{len(placed) - len(kept)} events about answers that gave way are left out"]
        if len(kept) < len(placed)
        else []
    )
    kept, copies = _once(kept)
    of_object: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for one in kept:
        of_object[one.name][one.place] = one.time
    shared = {name for name, runs in of_object.items() if len(runs) > 1}
    if shared:
        told.append(f"{len(shared)} objects were worked on in several of the runs; the last word on each counts")

    def order(one: _Placed) -> tuple[float, int, int]:
        time = of_object[one.name][one.place] if one.name in shared else one.time
        return time, one.place, one.event.number

    kept.sort(key=order)
    numbers = {(one.place, one.event.number): number for number, one in enumerate(kept, 1)}
    numbers |= {copy: numbers[first] for copy, first in copies.items()}
    authors: defaultdict[tuple[int, str], list[tuple[int, str | None]]] = defaultdict(list)
    for one in placed:
        authors[one.place, one.name].append((one.event.number, one.event.by))

    def seen(one: _Placed) -> int | None:
        last = one.event.seen
        if not last:
            return last
        others = any(number <= last and by != one.event.by for number, by in authors[one.place, one.name])
        return 0 if one.name in shared and not others else numbers.get((one.place, last), 0)

    events = [
        replace(
            one.event,
            object_id=one.name,
            image=batches[one.place].images + one.event.image,
            number=number,
            seen=seen(one),
        )
        for number, one in enumerate(kept, 1)
    ]
    return JoinedEvents(events, told)


def _timed(place: int, batch: Batch) -> list[_Placed]:
    """A run's events with their times: never before an earlier one of the same object, as the one before where it tells
    none that can be read.
    """
    placed: list[_Placed] = []
    latest: dict[str, float] = {}
    events = list(read_events(batch.run))
    time = next((known for one in events if (known := _seconds(one.when)) is not None), float("-inf"))
    for event in events:
        known = _seconds(event.when)
        time = time if known is None else known
        own = latest[event.object_id] = max(time, latest.get(event.object_id, time))
        placed.append(_Placed(place, event, batch.ids + event.object_id, own))
    return placed


def _seconds(when: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(when or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def _once(placed: Sequence[_Placed]) -> tuple[list[_Placed], dict[tuple[int, int], tuple[int, int]]]:
    """The events without copies, and of which one each copy is: both as (place, number)."""
    kept: list[_Placed] = []
    copies: dict[tuple[int, int], tuple[int, int]] = {}
    known: dict[str, list[tuple[Event, tuple[int, int]]]] = {}
    for one in placed:
        here = (one.place, one.event.number)
        bare = replace(one.event, object_id=one.name, number=0, seen=None)
        same = known.setdefault(one.event.request or "", [])
        found = next((place for event, place in same if event == bare and place[0] != one.place), None)
        if one.event.request is not None and found is not None:
            copies[here] = found
        else:
            if one.event.request is not None:
                same.append((bare, here))
            kept.append(one)
    return kept, copies
