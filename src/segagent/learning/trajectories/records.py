"""The lines of a trajectories file: trajectories, and samples that failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from segagent.core import SCHEMA, InputError, Trajectory
from segagent.core.failures import FAILURE_SCHEMA, Failure
from segagent.runs.journal import read_journal

__all__ = ["FAILURE_SCHEMA", "Failure", "read_trajectories"]


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
