"""Records of scenes, one per scene, made in parallel and kept in a journal: each is made once, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from segagent.core import SegmentationTool
from segagent.core.versions import package_versions
from segagent.reproduce.work import Ask, Watch
from segagent.runs.journal import Journal

_SCENES_AT_ONCE = 2

Record: TypeAlias = dict[str, Any]
Make: TypeAlias = Callable[[SegmentationTool, Sequence[int]], list[Record]]
"""One record for each of some scenes' numbers, in order; picklable."""


def make_records(
    name: str, path: Path, settings: Mapping[str, Any], total: int, make: Make, ask: Ask, watch: Watch
) -> list[Record]:
    """The records of scenes 0 to ``total - 1``: those that the journal at ``path`` holds, and the others, made now.

    Raises ``InputError`` where the journal was begun with other ``settings``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []
    with Journal(path, settings, {"versions": package_versions()}, kept=records.append) as journal:
        numbers = range(journal.next_unit, total)
        if numbers:
            chunks = [numbers[at : at + _SCENES_AT_ONCE] for at in range(0, len(numbers), _SCENES_AT_ONCE)]
            with watch(name, total, "scenes") as update:
                update(journal.next_unit, "")
                for made in ask(make, chunks):
                    for record in made:
                        journal.append(journal.next_unit, [record])
                        records.append(record)
                        update(journal.next_unit, "")
    return records
