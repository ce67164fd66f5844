"""The ranked list as files that other programs read: all objects, whatever the page shows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from segagent.annotation.review.entries import WorkItem
from segagent.imaging.writing import write_bytes

WORKLIST_SCHEMA = "segagent.worklist/1"
JSON_FILE = "worklist.json"
CSV_FILE = "worklist.csv"

_COLUMNS = ("rank", *WorkItem(0, "", "", "").to_dict(), "sampled", "decision", "standing", "by")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_worklist(
    folder: Path,
    entries: Sequence[WorkItem],
    summary: Mapping[str, Any],
    *,
    sampled: Collection[int] = (),
    decisions: Mapping[str, str] | None = None,
    standings: Mapping[str, tuple[str, str]] | None = None,
) -> None:
    """worklist.json and worklist.csv in ``folder``. Raises ``InputError`` if they cannot be written.

    ``sampled`` holds indices of entries; ``decisions`` tells "accept" or "see" by object id where that was asked for,
    ``standings`` how objects stand that people have been at, and who was last.
    """
    told, stands = decisions or {}, standings or {}
    objects = [
        {
            "rank": rank,
            **entry.to_dict(),
            "sampled": entry.index in sampled,
            "decision": told.get(entry.object_id, ""),
            **dict(zip(("standing", "by"), stands.get(entry.object_id, ("", "")), strict=True)),
        }
        for rank, entry in enumerate(entries, 1)
    ]
    whole = {"schema": WORKLIST_SCHEMA, "summary": dict(summary), "objects": objects}
    write_bytes(folder / JSON_FILE, json.dumps(whole, allow_nan=False).encode("ascii") + b"\n")
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([_cell(one[name]) for name in _COLUMNS] for one in objects)
    write_bytes(folder / CSV_FILE, text.getvalue().encode("utf-8", "backslashreplace"))


def _cell(value: Any) -> str:
    """``value`` as text that no spreadsheet takes for a formula: what would be one gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        value = "; ".join(value)
    if isinstance(value, str) and value.startswith(_FORMULA) and not _is_number(value):
        return "'" + value
    return str(value)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
