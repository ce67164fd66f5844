"""What a report says, as plain tables that Markdown and HTML are both made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from segagent.evaluation.report.paper import COLUMNS, TABLE_1, TABLE_2, TABLE_3, paper_column
from segagent.pages.table import Table

_COLUMNS = {
    "res": (
        "cIoU",
        "gIoU",
        "bIoU",
        "Pr@0.5",
        "Pr@0.7",
        "Pr@0.9",
        "N-acc",
        "T-acc",
        "first-click hit rate",
        "refine gain",
        "invalid replies",
        "calls",
        "tokens",
        "seconds per accepted mask",
    ),
    "noc": ("NoC@80", "NoC@85", "NoC@90", "NoC@95", "AUC", "IoU@1", "IoU@5", "gIoU", "bIoU", "calls", "seconds"),
    "filter": ("gIoU",),
    "outline": ("cIoU", "gIoU", "bIoU", "Pr@0.5", "Pr@0.7", "Pr@0.9", "N-acc", "T-acc"),
    "refine": ("cIoU", "gIoU", "bIoU", "refine gain", "invalid replies", "calls", "tokens", "seconds"),
}
_AGREEMENT = (
    "predicted IoU MAE",
    "predicted IoU MSE",
    "Pearson",
    "Spearman",
    "ECE",
    "AUROC@80",
    "accepted@80",
    "accepted@90",
)
_TITLES = {
    "res": "Text to mask",
    "outline": "Text to mask by the policy's own outline, no click",
    "noc": "Interactive segmentation: number of clicks",
    "filter": "Annotation filtering",
    "refine": "Refinement of degraded masks",
}
_PLAIN = {"calls", "tokens", "seconds", "seconds per accepted mask", "Pearson", "Spearman", "AUROC@80"}


def run_labels(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A short name for each run, all different; with the data set's where there are several."""
    labels = [f"{run['config']['policy']} + {run['config']['tool']}" for run in runs]
    datasets = [run["dataset"] for run in runs]
    if len(set(datasets)) > 1:
        labels = [f"{label} on {name}" for label, name in zip(labels, short_names(datasets), strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{number}: {label}" for number, label in enumerate(labels, 1)]
    return labels


def short_names(datasets: Sequence[str]) -> list[str]:
    """Data sets' specifications with only the last part of each path; as they are where that makes two alike."""
    names = [re.sub(r"[^:,=]*/(?=[^/:,])", "", dataset) for dataset in datasets]
    return names if len(set(names)) == len(set(datasets)) else list(datasets)


def report_tables(runs: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Every table of a report, in order."""
    labels = run_labels(runs)
    tables = [_runs_table(runs, labels)]
    for protocol in _TITLES:
        chosen = [(label, run) for label, run in zip(labels, runs, strict=True) if run["protocol"] == protocol]
        if chosen:
            tables += _protocol_tables(protocol, chosen)
    return tables


def _runs_table(runs: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> Table:
    rows = []
    for label, run in zip(labels, runs, strict=True):
        counts = run["counts"]
        images = f"{counts['images']} of {counts['images_in_dataset']}"
        numbers = (str(counts["samples"]), images, str(counts["skipped"]), str(counts["failed"]))
        rows.append((label, run["protocol"], run["dataset"], run["select"], *numbers))
    header = ("run", "protocol", "data set", "mask taken", "samples", "images", "skipped", "failed")
    return Table("Runs", header, tuple(rows))


def _protocol_tables(protocol: str, chosen: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Table]:
    names = [n for n in _COLUMNS[protocol] if any(n in run["metrics"] for _, run in chosen)]
    rows = tuple((label, *(metric_cell(run["metrics"].get(name), name) for name in names)) for label, run in chosen)
    note = "IoUs and rates in percent, with 95 % bootstrap intervals, images resampled as a whole."
    if protocol == "noc":
        note += " In brackets after NoC: objects that never reached it, counted with all clicks."
    yield Table(_TITLES[protocol], ("run", *names), rows, note)
    if protocol == "res":
        yield from _beside_the_paper(chosen)
    steps = sorted({int(n[4:]) for _, run in chosen for n in run["metrics"] if n.startswith("IoU@")})
    if steps:
        yield _by_step(protocol, chosen, steps)
    scored = [(label, run) for label, run in chosen if "Pearson" in run["metrics"]]
    if scored:
        yield _agreement_table(protocol, scored)


def _beside_the_paper(chosen: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[Table]:
    known = {label: paper_column(run["dataset"]) for label, run in chosen}
    columns = [column for column in COLUMNS if column in known.values()] or list(COLUMNS)
    rows = [
        (
            label,
            *(metric_cell(run["metrics"].get("cIoU"), "cIoU") if known[label] == column else "" for column in columns),
        )
        for label, run in chosen
        if known[label] is not None
    ]
    for method, values in TABLE_1.items():
        printed = dict(zip(COLUMNS, values, strict=True))
        rows.append((f"paper: {method}", *(f"{printed[column]:.2f}" for column in columns)))
    note = "The paper's Table 1."
    if not any(known.values()):
        note += " These runs were made on other data, so the figures are no comparison."
    yield Table("cIoU beside the paper's", ("", *columns), tuple(rows), note)


def _by_step(protocol: str, chosen: Sequence[tuple[str, Mapping[str, Any]]], steps: Sequence[int]) -> Table:
    rows = [(label, *(metric_cell(run["metrics"].get(f"IoU@{k}"), "IoU") for k in steps)) for label, run in chosen]
    note = "Mean over samples; an episode that ended early keeps its last choice."
    if protocol == "res":
        for way, values in TABLE_2.items():
            if set(values) & set(steps):
                rows.append((f"paper: {way}", *(f"{values[k]:.2f}" if k in values else "" for k in steps)))
        note += " The paper's rows (Table 2) are RefCOCO val."
    word = "clicks" if protocol == "noc" else "steps"
    return Table(f"Mean IoU by number of {word}", (word, *map(str, steps)), tuple(rows), note)


def _agreement_table(protocol: str, scored: Sequence[tuple[str, Mapping[str, Any]]]) -> Table:
    rows = [
        (
            label,
            str(run["counts"]["predicted_ious"]),
            *(metric_cell(run["metrics"].get(name), name) for name in _AGREEMENT),
        )
        for label, run in scored
    ]
    note = "MAE in percentage points, MSE in squared ones."
    if protocol == "filter":
        for model, one in TABLE_3.items():
            printed = (f"{one['MAE']:.2f}", f"{one['MSE']:.2f}", f"{one['Pearson']:.2f}", f"{one['Spearman']:.2f}")
            rows.append((f"paper: {model}", "", *printed, "", "", "", ""))
        note += " The paper's rows (Table 3) are RefCOCO val."
    return Table("Predicted against true IoU", ("run", "masks", *_AGREEMENT), tuple(rows), note)


def metric_cell(one: Mapping[str, Any] | None, name: str) -> str:
    """A metric as text: fractions in percent, NoC in clicks with its failures."""
    if one is None or one["value"] is None:
        return ""
    scale, digits = (100.0, 1) if name not in _PLAIN else (1.0, 2)
    if name.startswith("NoC@"):
        scale, digits = 1.0, 2
    if name == "predicted IoU MSE":
        scale = 10_000.0
    text = f"{scale * one['value']:.{digits}f}"
    if name.startswith("NoC@"):
        text += f" ({one['failures']})"
    if one["low"] is not None and one["high"] is not None:
        text += f" [{scale * one['low']:.{digits}f}, {scale * one['high']:.{digits}f}]"
    return text
