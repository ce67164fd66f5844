"""Several people and several batches: objects chosen and dealt out, runs joined, agreement measured."""

from segagent.annotation.team.agreement import Agreement, agreement_of
from segagent.annotation.team.choosing import only_these
from segagent.annotation.team.merging import Merged, merge_runs
from segagent.annotation.team.notes import WrittenNote, notes_of
from segagent.annotation.team.splitting import Assignments, read_assignments, split_run

__all__ = [
    "Agreement",
    "Assignments",
    "Merged",
    "WrittenNote",
    "agreement_of",
    "merge_runs",
    "notes_of",
    "only_these",
    "read_assignments",
    "split_run",
]
