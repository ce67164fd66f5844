"""How hard data sets are: clicks that the simulated annotator needs on each (the paper's Fig. 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from segagent.evaluation.report.tables import metric_cell, short_names
from segagent.pages.bars import Bar, Group, bar_chart
from segagent.pages.table import Table

_NAMES = ("NoC@80", "NoC@85")
TITLE = "Complexity of data sets"


def complexity_table(runs: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Clicks to IoU 0.80 and 0.85 by data set; nothing unless number-of-clicks runs of two data sets are there."""
    chosen = _chosen(runs)
    if not chosen:
        return []
    rows = [
        (name, _who(run), str(run["counts"]["samples"]), *(metric_cell(run["metrics"].get(n), n) for n in _NAMES))
        for name, run in chosen
    ]
    note = "Mean clicks to IoU 0.80 and 0.85, as the paper's Fig. 3; only rows of one tool can be compared."
    return [Table(TITLE, ("data set", "clicks, tool", "objects", *_NAMES), tuple(rows), note)]


def complexity_chart(runs: Sequence[Mapping[str, Any]]) -> str:
    """The same as bars, a group for each data set and tool; "" where there is nothing to compare."""
    groups = [
        Group(f"{name}, {_who(run)}", tuple(_bar(run["metrics"].get(metric)) for metric in _NAMES))
        for name, run in _chosen(runs)
    ]
    return bar_chart(TITLE, "mean clicks", _NAMES, groups)


def _chosen(runs: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Number-of-clicks runs with their data set's name, one tool after the other."""
    clicked = [run for run in runs if run["protocol"] == "noc"]
    if len({run["dataset"] for run in clicked}) < 2:
        return []
    names = short_names([run["dataset"] for run in clicked])
    whos = list(dict.fromkeys(_who(run) for run in clicked))
    return sorted(zip(names, clicked, strict=True), key=lambda one: whos.index(_who(one[1])))


def _who(run: Mapping[str, Any]) -> str:
    return f"{run['config']['policy']} + {run['config']['tool']}"


def _bar(one: Mapping[str, Any] | None) -> Bar | None:
    return None if one is None or one["value"] is None else Bar(one["value"], one["low"], one["high"])
