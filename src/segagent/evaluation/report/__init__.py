"""Reports: everything that stored evaluations tell, as Markdown, as JSON and as one HTML page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.core.extensions import from_record
from segagent.datasets import Dataset, open_dataset
from segagent.evaluation.report.complexity import complexity_table
from segagent.evaluation.report.gallery import Shown, draw_gallery
from segagent.evaluation.report.html import html_report
from segagent.evaluation.report.tables import report_tables
from segagent.evaluation.results import EvaluationRun, measure_run, open_runs
from segagent.evaluation.selection import Selection
from segagent.imaging.writing import made_folder, write_bytes
from segagent.pages.markdown import markdown_report

__all__ = ["REPORT_SCHEMA", "Report", "write_report"]

REPORT_SCHEMA = "segagent.report/1"
_FEW_STRIPS = 20
"""Of each group of a gallery and all runs together: a strip of twenty clicks on a photograph is half a megabyte."""
_MAX_WARNINGS = 5


@dataclass(frozen=True)
class WrittenReport:
    """``results``: {"schema", "warnings": which runs are unfinished, "runs": what results.json holds for each run}.

    ``warnings``: those, and what could not be shown.
    """

    results: dict[str, Any]
    warnings: list[str]


def write_report(
    outs: Sequence[str | Path],
    report: str | Path,
    *,
    select: Selection = "returned",
    gallery: int | None = None,
    data: str | None = None,
) -> WrittenReport:
    """Write report.html, report.md and results.json into the folder ``report``.

    Args:
        outs: folders of ``segagent evaluate``; shards of one evaluation are put together.
        report: the folder, made where it is missing.
        select: which mask of a trajectory is measured.
        gallery: so many best, median and worst trajectories of each run; None for 4, fewer where there are many runs.
        data: specification of the data set that pictures are read from; None for each run's own.

    Raises:
        InputError: for folders without an evaluation, damaged records, and where nothing can be written.
    """
    folder = made_folder(report)
    results, galleries, warnings, unfinished = [], list[list[Shown]](), list[str](), list[str]()
    chosen = open_dataset(data) if data is not None else None
    runs = open_runs(outs)
    if gallery is None:
        gallery = max(1, min(4, _FEW_STRIPS // len(runs)))
    for run in runs:
        measured, found = measure_run(run, select)
        results.append(measured)
        if not measured["complete"]:
            counts = measured["counts"]
            done, total = counts["images"], counts["images_in_dataset"]
            unfinished.append(f"unfinished: {run.files[0]}: {done} of {total} images so far, {total - done} missing")
        dataset, reason = (chosen, "") if chosen is not None or not gallery else _dataset_of(run)
        shown, missing = draw_gallery(run, found, gallery, dataset) if gallery else ([], [])
        galleries.append(shown)
        warnings += [reason] if reason else missing[:_MAX_WARNINGS]
    tables, about = report_tables(results) + complexity_table(results), _about(results)
    whole = {"schema": REPORT_SCHEMA, "warnings": unfinished, "runs": results}
    write_bytes(folder / "results.json", (json.dumps(whole, indent=1, allow_nan=False) + "\n").encode("ascii"))
    write_bytes(
        folder / "report.md", markdown_report(tables, about, warnings=unfinished).encode("utf-8", "backslashreplace")
    )
    page = html_report(tables, results, galleries, about, unfinished)
    write_bytes(folder / "report.html", page.encode("utf-8", "backslashreplace"))
    return WrittenReport(whole, unfinished + warnings)


def _dataset_of(run: EvaluationRun) -> tuple[Dataset | None, str]:
    try:
        return open_dataset(from_record(run.dataset, run.files[0])), ""
    except InputError as error:
        return None, f"no pictures in the gallery: {error}; tell with --data where the data set is now"


def _about(results: Sequence[dict[str, Any]]) -> list[str]:
    """Settings and versions of each run, one line each."""
    lines = []
    for number, run in enumerate(results, 1):
        settings = ", ".join(f"{name} {value}" for name, value in run["config"].items() if value != "")
        versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
        lines.append(f"Run {number}: {settings}. Versions: {versions}.")
    return lines
