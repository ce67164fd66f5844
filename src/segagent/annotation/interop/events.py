"""What people did, one event after the other: who, when, to which object, and what came of it.

An event says all that is needed to do it again, whatever was done before, so that events of several files can be put
one behind the other; the last one about an object's mask or label holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from segagent.core import Rle

EVENT_SCHEMA = "segagent.event/1"

EventKind: TypeAlias = Literal["corrected", "confirmed", "relabelled", "removed", "added"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that a person did to one object.

    Args:
        kind: the mask was corrected, or confirmed as it is; the object was given another label, removed, or added.
        object_id: the run's, or the one that an added object got.
        image: the picture's name in the run's data set.
        by: who it was, and ``when``, in the file's words.
        source: the file that tells it, and ``where`` in it.
        matched: how the file's mask was found to be this object: by "id", "overlap" or "label"; None for the others.
        mask: the person's; None where the event is not about one.
        label: the object's class or sentence from now on, of relabelled and added objects; ``was``: the one before.
    """

    kind: EventKind
    object_id: str
    image: str
    by: str | None
    when: str | None
    source: str
    where: str
    matched: str | None = None
    mask: Rle | None = None
    label: str | None = None
    was: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON form; what is None is left out."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {"schema": EVENT_SCHEMA, **{name: value for name, value in values.items() if value is not None}}
