"""What people did, one event after the other: who, when, to which object, and what came of it.

An event says all that is needed to do it again, whatever was done before: the mask that a click or a stroke led to
stands in it, so the mask of any moment is read, not computed, and events of several files can be put one behind the
other; the last one about an object's mask or label holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, cast, get_args

from segagent.core import Rle

EVENT_SCHEMA = "segagent.event/2"

Verdict: TypeAlias = Literal["ok", "wrong", "absent", "unsure", "skip"]
"""What a person says of an object as it stands: the mask is right; it is wrong; what the words name is not in the
picture; cannot be told; not now."""

EventKind: TypeAlias = Literal[
    "click",
    "box",
    "stroke",
    "polygon",
    "agent",
    "take",
    "undo",
    "redo",
    "corrected",
    "confirmed",
    "verdict",
    "note",
    "relabelled",
    "rephrased",
    "removed",
    "restored",
    "added",
]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a person did to one object.

    Args:
        kind: how the mask was changed: by a click or a box that ``tool`` answered, a brush stroke or polygon, by
            letting the policy go on (``agent``), by taking another mask of the record (``take``), or in another program
            (``corrected``); ``confirmed`` there as it is. ``undo`` and ``redo`` go one step along the object's own
            history. A ``verdict`` was given, a ``note`` written, the object given another class (``relabelled``) or
            sentence (``rephrased``), ``removed``, ``restored``, or newly ``added``.
        object_id: the run's, or the one that an added object got.
        image: the picture's name in the run's data set.
        by: who it was, and ``when``, in the file's words; this program's own are UTC, ISO 8601.
        source: the file that tells it, and ``where`` in it; "review" for what was done in this program's own page.
        matched: how the file's mask was found to be this object: by "id", "overlap" or "label"; None for the others.
        mask: what the object's mask is after the event; None where the event is not about the mask.
        label: the object's class from now on, of relabelled and added objects; ``was``: the one before.
        text: the sentence from now on, of rephrased and added objects, or the note's words.
        verdict: of ``verdict`` events.
        did: what exactly was done, as JSON: ``{"x", "y", "positive"}`` of a click; ``{"box": [x0, y0, x1, y1]}``, ends
            included; ``{"points": [[x, y], ...], "radius", "positive"}`` of a stroke, ``{"points", "positive"}`` of a
            polygon; ``{"actions": [...]}`` of the policy's clicks; ``{"take": "given" | "answer" | "best"}``. Pixels of
            the picture, x to the right and y down.
        tool: specification of the tool that answered a click or box; ``policy``: of the policy whose actions these are.
        seen: the number of the object's last event that the person had seen, 0 for none. Where it is lower than the
            last one at that time, two people were at the object.
        request: the client's own name for the event, so that one sent again is not done again.
        number: its place in the run's record, from 1; 0 where it is not in one yet.
    """

    kind: EventKind
    object_id: str
    image: str
    by: str | None
    when: str | None
    source: str
    where: str = ""
    matched: str | None = None
    mask: Rle | None = None
    label: str | None = None
    was: str | None = None
    text: str | None = None
    verdict: Verdict | None = None
    did: dict[str, Any] = field(default_factory=dict)
    tool: str | None = None
    policy: str | None = None
    seen: int | None = None
    request: str | None = None
    number: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON form; what is empty is left out."""
        values = {name: getattr(self, name) for name in self.__slots__}
        empty = {name for name, value in values.items() if value is None or value in ("", {})}
        empty |= set() if self.number else {"number"}
        return {"schema": EVENT_SCHEMA, **{name: value for name, value in values.items() if name not in empty}}

    @staticmethod
    def from_dict(data: dict[str, Any]) -> Event:
        """Inverse of :meth:`to_dict`. Raises ``ValueError`` naming what does not fit."""
        if data.get("schema") != EVENT_SCHEMA:
            raise ValueError(f"expected an event of schema {EVENT_SCHEMA!r}, got {data.get('schema')!r:.80}")
        kind, verdict = data.get("kind"), data.get("verdict")
        if kind not in get_args(EventKind):
            raise ValueError(f"an event's kind is one of {', '.join(get_args(EventKind))}, got {kind!r:.80}")
        if verdict is not None and verdict not in get_args(Verdict):
            raise ValueError(f"a verdict is one of {', '.join(get_args(Verdict))}, got {verdict!r:.80}")
        values = {name: data[name] for name in Event.__slots__ if name in data}
        for name in ("object_id", "image", "source"):
            if not isinstance(values.get(name), str):
                raise ValueError(f"an event's {name!r} is a text, got {values.get(name)!r:.80}")
        values.setdefault("by", None)
        values.setdefault("when", None)
        return Event(**{**values, "kind": cast(EventKind, kind), "verdict": cast("Verdict | None", verdict)})
