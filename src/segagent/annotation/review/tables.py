"""What stands at the top of a work list: counts, expected quality, costs, and what made the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from segagent.annotation.batch import Decision, Run
from segagent.annotation.review.entries import WorkItem
from segagent.pages.table import Table

_BARS = 10
_BAR_LENGTH = 40


def review_tables(
    run: Run, summary: Mapping[str, Any], entries: Sequence[WorkItem], decision: Decision | None
) -> list[Table]:
    """All tables of the page's top, in order. ``summary``: what ``summarise_run`` gives."""
    tables = [_counts(summary, entries)]
    if decision is not None:
        tables.append(_decision(decision))
    tables += [_scores(entries), _made_with(run, summary)]
    return [table for table in tables if table.rows]


def _counts(summary: Mapping[str, Any], entries: Sequence[WorkItem]) -> Table:
    rows = [("objects", str(summary["objects"]))]
    rows += [(name.replace("_", " "), str(count)) for name, count in summary["outcomes"].items()]
    rows.append(("failed", str(len(summary["failed"]))))
    for name, key in (("the policy has doubts", "doubted"), ("images missing", "images_left")):
        if summary[key]:
            rows.append((name, str(summary[key])))
    errors = Counter(entry.likely_error for entry in entries if entry.likely_error)
    rows += [(f"likely error: {name}", str(count)) for name, count in errors.most_common()]
    for name, key in (("expected IoU of the given masks", "expected_iou_given"), ("of the answers", "expected_iou")):
        if summary[key] is not None:
            rows.append((name, f"{summary[key]:.3f}"))
    return Table("Counts", ("", ""), tuple(rows))


def _scores(entries: Sequence[WorkItem]) -> Table:
    """How many objects there are by expected IoU of the answer."""
    counts = Counter(
        min(int(entry.expected_iou * _BARS), _BARS - 1)
        for entry in entries
        if entry.expected_iou is not None and entry.outcome != "not_found"
    )
    most = max(counts.values(), default=0)
    rows = [
        (f"{low / _BARS:.1f} to {(low + 1) / _BARS:.1f}", str(counts[low]), bar(counts[low], most))
        for low in range(min(counts, default=_BARS), _BARS)
    ]
    return Table("Expected IoU of the answers", ("IoU", "objects", ""), tuple(rows))


def bar(count: int, most: int) -> str:
    """``count`` out of ``most`` as a bar of text."""
    return "█" * max(round(_BAR_LENGTH * count / max(most, 1)), 1 if count else 0)


def _decision(one: Decision) -> Table:
    rows = [
        ("share of good masks wanted", f"{one.target_precision:g}, good from a true IoU of {one.iou_bar:g}"),
        ("accepted", str(len(one.accepted))),
        ("for a person to see", str(one.num_to_see)),
    ]
    if one.threshold is not None:
        rows.append(("accepted from a predicted IoU of", f"{one.threshold:g}"))
    if one.precision is not None:
        interval = f"[{one.precision.low:.2f}, {one.precision.high:.2f}]"
        rows.append(("share of good masks expected among the accepted", f"{one.precision.value:.2f} {interval}"))
    rows.append(("bad masks expected among the accepted", f"{one.expected_bad:.1f}"))
    rows.append(("masks checked by a person", str(one.num_checked)))
    return Table(
        "Which masks can be accepted", ("", ""), tuple(rows), " ".join(f"{warning}." for warning in one.warnings)
    )


def _made_with(run: Run, summary: Mapping[str, Any]) -> Table:
    cost = summary["cost"]
    versions = run.notes.get("versions")
    rows = [
        ("job", run.job),
        ("data set", str(run.notes.get("dataset", ""))),
        ("policy", str(run.notes.get("policy", run.config.get("policy", "")))),
        ("tool", str(run.notes.get("tool", run.config.get("tool", "")))),
        ("calibrated", "yes" if run.calibration is not None else "no: the expected IoU is the predicted one"),
        ("cost", ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in cost.items() if value)),
        ("versions", ", ".join(f"{n} {v}" for n, v in versions.items()) if isinstance(versions, dict) else ""),
    ]
    return Table("Made with", ("", ""), tuple(row for row in rows if row[1]))
