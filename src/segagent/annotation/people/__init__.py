"""What people did to the objects of a run: an append-only record of events, and how things stand after them."""

from segagent.annotation.people.counts import count_people
from segagent.annotation.people.events import Event, EventKind, Verdict
from segagent.annotation.people.left import GONE, LeftObject, Stands, objects_left
from segagent.annotation.people.record import PEOPLE_FILE, PeopleLog, read_events, standings_of
from segagent.annotation.people.standing import Standing, stand

__all__ = [
    "GONE",
    "PEOPLE_FILE",
    "Event",
    "EventKind",
    "LeftObject",
    "PeopleLog",
    "Standing",
    "Stands",
    "Verdict",
    "count_people",
    "objects_left",
    "read_events",
    "stand",
    "standings_of",
]
