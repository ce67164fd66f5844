"""What people did to a run, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, get_args

from segagent.annotation.people.events import Verdict
from segagent.annotation.people.left import LeftObject
from segagent.annotation.people.standing import Standing


def count_people(standings: Iterable[Standing], left: Iterable[LeftObject]) -> dict[str, Any]:
    """As JSON: how many objects stand how, who was at how many, and how many nobody has decided on (``remaining``).

    ``left``: all objects that the run has come to, and those that people have added. An object is decided on where a
    person has given a verdict (skipped and unsure ones are not), made or taken a mask, or removed it.
    """
    people: Counter[str] = Counter()
    contested = notes = events = 0
    for standing in standings:
        people.update(standing.people)
        contested += bool(standing.contested)
        notes += len(standing.notes)
        events = max(events, standing.number)
    stands: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    relabelled = rephrased = remaining = 0
    for one in left:
        how = one.stands
        if one.added and one.rle is None and how == "added":
            continue  # Begun, and nothing drawn yet.
        stands[how] += 1
        verdicts[one.now.verdict or ""] += 1
        relabelled += one.relabelled
        rephrased += one.rephrased
        agreed = one.now.verdict == "ok"
        remaining += not how and not agreed
    return {
        "events": events,
        "people": dict(sorted(people.items())),
        "verdicts": {name: verdicts[name] for name in get_args(Verdict)},
        "confirmed": stands["confirmed"],
        "wrong": stands["wrong"],
        "corrected": stands["corrected"],
        "taken": stands["taken"],
        "added": stands["added"],
        "removed": stands["removed"] + stands["absent"] + stands["emptied"],
        "relabelled": relabelled,
        "rephrased": rephrased,
        "notes": notes,
        "contested": contested,
        "remaining": remaining,
    }
