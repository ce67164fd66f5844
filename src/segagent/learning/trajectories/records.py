"""The lines of a trajectories file: trajectories, and samples that failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segagent.core import SCHEMA, InputError, Trajectory
from segagent.core.journal import read_journal

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


def read_trajectories(path: str | Path) -> Iterator[Trajectory]:
    """The trajectories of a file that ``segagent trajectories`` wrote, finished or not; failures are left out.

    Raises ``InputError`` naming the file, and the sample whose record is damaged.
    """
    _, records = read_journal(path)
    for record in records:
        if record.get("schema") == SCHEMA:
            try:
                yield Trajectory.from_dict(record)
            except ValueError as error:
                raise InputError(f"{path}, sample {record.get('sample_id')!r:.80}: {error}") from error
