"""Episodes kept in a folder: those that are over in a journal, those still open in a file each."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

from segagent.core import InputError, Trajectory
from segagent.core.texts import read_json
from segagent.imaging.writing import made_folder, write_bytes
from segagent.runs.journal import Journal, JournalInUseError

JOURNAL_FILE = "episodes.jsonl"


class EpisodeRecords:
    """The episodes of one server in ``folder``, which is made where it is missing.

    An episode is written after every action, so a killed process loses none: what it left open is taken into the
    journal by the next one. :func:`segagent.learning.trajectories.read_trajectories` reads the journal; its header
    names no data set, so no training does. Each server that runs at the same time has a journal of its own:
    ``episodes.jsonl``, ``episodes-2.jsonl`` and so on. Raises ``InputError`` where nothing can be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = made_folder(folder)
        known: set[str] = set()
        self._journal = self._own_journal(known)
        self._open = self._journal.path.with_suffix(".open")
        try:
            self._take_up(known)
        except BaseException:
            self._journal.close()
            raise

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self._journal.path

    def keep(self, trajectory: Trajectory) -> None:
        """Write how an open episode stands. Raises ``InputError`` if that fails."""
        write_bytes(self._left(trajectory), json.dumps(trajectory.to_dict()).encode("ascii"))

    def close(self, trajectory: Trajectory) -> None:
        """Add an episode that is over to the journal. Raises ``InputError`` if that fails."""
        self._append(trajectory)
        self._left(trajectory).unlink(missing_ok=True)

    def end(self) -> None:
        """Close the journal."""
        self._journal.close()

    def _append(self, trajectory: Trajectory) -> None:
        self._journal.append(self._journal.next_unit, [trajectory.to_dict()])
        self._journal.sync()

    def _left(self, trajectory: Trajectory) -> Path:
        return self._open / f"{trajectory.sample_id}.json"

    def _own_journal(self, known: set[str]) -> Journal:
        """The first journal that no other process is writing; the names of its episodes become ``known``."""
        for number in count(1):
            path = self.folder / (JOURNAL_FILE if number == 1 else f"episodes-{number}.jsonl")
            try:
                return Journal(path, {"what": "episodes"}, {}, kept=lambda one: known.add(str(one["sample_id"])))
            except JournalInUseError:
                continue
        raise AssertionError("unreachable")

    def _take_up(self, known: set[str]) -> None:
        """Add to the journal what a killed process left open."""
        made_folder(self._open)
        for left in sorted(self._open.glob("*.json")):
            content = read_json(left)
            try:
                trajectory = Trajectory.from_dict(content if isinstance(content, dict) else {})
            except ValueError as error:
                raise InputError(f"{left}: is no episode of this program ({error}); move it away") from error
            # One that is known was added just before its process was killed.
            if trajectory.sample_id not in known:
                self._append(trajectory)
            left.unlink()
