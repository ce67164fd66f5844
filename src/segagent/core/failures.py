"""Samples that something could not be done for, as records beside trajectories."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

FAILURE_SCHEMA = "segagent.failure/1"


@dataclass(frozen=True, slots=True)
class Failure:
    """A sample that no trajectory could be made of. ``reason`` names file or entry and says what is wrong."""

    sample_id: str
    image: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"schema": FAILURE_SCHEMA, **asdict(self)}

    @staticmethod
    def from_dict(record: dict[str, Any]) -> Failure | None:
        """The failure that a record tells of, None for a record of another schema."""
        if record.get("schema") != FAILURE_SCHEMA:
            return None
        return Failure(*(str(record.get(key, "")) for key in ("sample_id", "image", "reason")))
