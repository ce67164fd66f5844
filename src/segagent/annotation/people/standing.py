"""How an object stands after all that people did to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from segagent.annotation.people.events import Event, Verdict
from segagent.core import Rle


@dataclass(frozen=True, slots=True)
class Moment:
    """What people have made of an object up to one event; None, or False: as the run has it.

    ``made_by`` tells of ``mask``: "person", or "model" where the policy went on by itself or one of the run's masks was
    taken, and nobody has changed it since. ``drawn``: the event that the mask is from; ``judged``: the last one that
    gave a verdict, removed or restored the object; ``named``: the last one about its class or sentence.
    """

    number: int = 0
    mask: Rle | None = None
    made_by: str | None = None
    verdict: Verdict | None = None
    label: str | None = None
    text: str | None = None
    removed: bool = False
    drawn: Event | None = None
    judged: Event | None = None
    named: Event | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A person's words about an object."""

    by: str | None
    when: str | None
    text: str


@dataclass(slots=True)
class Standing:
    """An object after its events.

    ``moments``: all that can be gone back to, the run's own first; ``place``: which of them holds. ``by`` and ``when``
    speak of the last event, ``number`` is its number. ``people``: everyone who did something, in order. ``contested``:
    numbers of events by people who had not seen another's event before theirs.
    """

    object_id: str
    image: str
    moments: list[Moment] = field(default_factory=lambda: [Moment()])
    place: int = 0
    added: bool = False
    notes: list[Note] = field(default_factory=list)
    by: str | None = None
    when: str | None = None
    source: str = ""
    number: int = 0
    people: list[str] = field(default_factory=list)
    contested: list[int] = field(default_factory=list)
    last: dict[str | None, int] = field(default_factory=dict)
    """The number of each person's last event."""

    @property
    def now(self) -> Moment:
        """What holds."""
        return self.moments[self.place]

    @property
    def can_undo(self) -> bool:
        """Whether there is an earlier moment; of an added object the first is its being there."""
        return self.place > (1 if self.added else 0)

    @property
    def can_redo(self) -> bool:
        """Whether an undo can be taken back."""
        return self.place + 1 < len(self.moments)

    def apply(self, event: Event) -> None:
        """Take one more event into account; events come in the order of their numbers."""
        if event.by is not None and event.by not in self.people:
            self.people.append(event.by)
        others = max((number for by, number in self.last.items() if by != event.by), default=0)
        if event.seen is not None and event.seen < others:
            self.contested.append(event.number)
        self.last[event.by] = event.number
        self.by, self.when, self.source, self.number = event.by, event.when, event.source, event.number
        match event.kind:
            case "undo":
                self.place -= self.can_undo
            case "redo":
                self.place += self.can_redo
            case "note":
                self.notes.append(Note(event.by, event.when, event.text or ""))
            case _:
                del self.moments[self.place + 1 :]
                self.moments.append(_after(self.now, event))
                self.place += 1
                self.added = self.added or event.kind == "added"


def stand(events: Iterable[Event]) -> dict[str, Standing]:
    """How each object stands that an event is about, in the order of their first events."""
    standings: dict[str, Standing] = {}
    for event in events:
        one = standings.get(event.object_id)
        if one is None:
            one = standings[event.object_id] = Standing(event.object_id, event.image)
        one.apply(event)
    return standings


def _after(now: Moment, event: Event) -> Moment:
    moment = replace(now, number=event.number)
    if event.mask is not None:
        # A verdict was about the mask that was there; and what somebody draws is there.
        made_by = "model" if _is_models(event) else "person"
        moment = replace(moment, mask=event.mask, made_by=made_by, drawn=event, verdict=None, removed=False)
    match event.kind:
        case "verdict":
            return replace(moment, verdict=event.verdict, judged=event)
        case "confirmed" | "corrected":
            return replace(moment, verdict="ok", judged=event)
        case "relabelled":
            return replace(moment, label=event.label, named=event)
        case "rephrased":
            return replace(moment, text=event.text, named=event)
        case "added":
            return replace(moment, label=event.label, text=event.text, named=event)
        case "removed":
            return replace(moment, removed=True, judged=event)
        case "restored":
            verdict = None if moment.verdict == "absent" else moment.verdict
            return replace(moment, removed=False, verdict=verdict, judged=event)
        case _:
            return moment


def _is_models(event: Event) -> bool:
    """Whether the event's mask is the policy's: it went on, found a new object, or one of its masks was taken."""
    if event.kind == "take":
        return event.did.get("take") != "given"
    return event.kind == "agent" or (event.kind == "added" and event.policy is not None)
