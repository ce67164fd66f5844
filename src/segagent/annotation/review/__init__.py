"""A run as a ranked work list: one HTML page that opens from disk, and the whole list as CSV and JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.annotation.batch import Decision, Run, decide, summarise_run
from segagent.annotation.batch.sampling import sample_to_check
from segagent.annotation.people import objects_left, standings_of
from segagent.annotation.review.entries import WorkItem, drawn, entries_of, num_records, ranked
from segagent.annotation.review.page import review_page
from segagent.annotation.review.pictures import draw_entries
from segagent.annotation.review.tables import review_tables
from segagent.annotation.review.worklist import CSV_FILE, JSON_FILE, write_worklist
from segagent.core import InputError
from segagent.datasets import Dataset, open_dataset
from segagent.imaging.writing import made_folder, write_bytes

__all__ = ["PAGE_FILE", "Review", "write_review"]

PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Review:
    """``result``: counts and files, as JSON. ``missing``: why pictures are missing, each reason once."""

    result: dict[str, Any]
    missing: list[str]
    decision: Decision | None = None


def write_review(
    run: Run,
    out: str | Path,
    *,
    most: int = 200,
    sample: int = 0,
    seed: int = 0,
    accept: float | None = None,
    accept_iou: float = 0.9,
    data: str | None = None,
    checked: str | Path | None = None,
    guidelines: str = "",
    watch: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Review:
    """Write index.html, worklist.csv and worklist.json into the folder ``out``.

    Args:
        run: finished or not.
        out: made where it is missing.
        most: so many of the worst objects get pictures.
        sample: so many masks, those that ``sample_to_check`` draws with ``seed``, get pictures too and are marked.
        accept: say which masks can be accepted so that this share of them is expected to be good.
        accept_iou: from this true IoU on a mask is good.
        data: specification of the data set that pictures are read from; None for the run's own.
        checked: masks of the run that a person has checked, which the decision goes by then.
        guidelines: the project's labelling rules, to stand on the page.
        watch: told (what is done, objects done, objects in all).

    Raises:
        InputError: for a damaged run, a decision that cannot be made, and where nothing can be written.
    """
    dataset = data_of(run, data)
    decision = None if accept is None else decide(run, accept, accept_iou, checked)
    total = num_records(run)
    found = []
    for entry in entries_of(run):
        found.append(entry)
        watch("ranking", len(found), total)
    standings = standings_of(run)
    left = [one for one in objects_left(run, standings=standings) if one.standing is not None] if standings else []
    stands = {one.object_id: (one.told, one.standing.by or "") for one in left if one.standing is not None and one.told}
    added = [one for one in left if one.added and one.rle is not None]
    # The run knows nothing of new objects: they come last, and have no pictures here.
    entries = ranked(found) + [
        WorkItem(len(found) + place, one.object_id, one.image, "added", one.text, one.category)
        for place, one in enumerate(added)
    ]
    names = set(sample_to_check(run, sample, seed)) if sample else set()
    by_chance = {entry.index for entry in entries if entry.object_id in names}
    chosen = {entry.index for entry in drawn(entries[: len(found)], most)} | by_chance
    folder = made_folder(out)
    shown = draw_entries(run, dataset, chosen, lambda done: watch("drawing", done, len(chosen)))
    summary = summarise_run(run)
    decisions = None
    if decision is not None:
        decisions = {**dict.fromkeys(decision.accepted, "accept"), **dict.fromkeys(decision.to_see, "see")}
        summary["accept"] = {k: v for k, v in decision.to_dict().items() if k not in ("accepted", "to_see")}
    tables = review_tables(run, summary, entries, decision)
    name = run.folder.resolve().name
    page = review_page(
        f"Review of {name}",
        tables,
        entries,
        shown,
        warnings=summary["warnings"],
        sampled=by_chance,
        decisions=decisions,
        standings=stands,
        run=name,
        guidelines=guidelines,
    )
    write_worklist(folder, entries, summary, sampled=by_chance, decisions=decisions, standings=stands)
    write_bytes(folder / PAGE_FILE, page.encode("utf-8", "backslashreplace"))
    missing = list(dict.fromkeys(one.missing for one in shown.values() if one.missing))
    result = {
        **summary,
        "page": str(folder / PAGE_FILE),
        "csv": str(folder / CSV_FILE),
        "json": str(folder / JSON_FILE),
        "pictured": sum(bool(one.panels) for one in shown.values()),
        "without_picture": sum(bool(one.missing) for one in shown.values()),
    }
    return Review(result, missing, decision)


def data_of(run: Run, data: str | None) -> Dataset | str:
    """Where pictures are read, or why they cannot be."""
    if data is not None:
        return open_dataset(data)
    try:
        return run.dataset()
    except InputError as error:
        return f"{error}; tell with --data where the data set is now"
