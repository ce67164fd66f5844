"""A report as one HTML file that needs nothing else: no server, no network, no other file.

Everything that comes from data sets, models or file names is escaped; the page's policy forbids loading anything.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

from segagent.evaluation.measuring import CLICK_TARGETS
from segagent.evaluation.report.charts import Series, line_chart
from segagent.evaluation.report.complexity import complexity_chart
from segagent.evaluation.report.gallery import Shown
from segagent.evaluation.report.tables import Table, run_labels

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1c1c22; margin: 2rem auto; max-width: 1400px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: left; vertical-align: top; }
th { background: #f5f5f7; } td:first-child { font-weight: 600; }
.note { color: #555; font-size: .9rem; }
svg { max-width: 100%; height: auto; margin: .5rem 1rem .5rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: #333; } svg .title { font-weight: 600; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .grid { stroke: #e4e4e8; } svg .diagonal { stroke: #999; stroke-dasharray: 4 4; }
figure { margin: 1rem 0; padding: .8rem; border: 1px solid #ddd; border-radius: 6px; }
figure .strip { max-width: 100%; height: auto; display: block; margin-top: .5rem; }
figcaption .group { color: #555; }
input { width: 5rem; } [hidden] { display: none; }
"""

_SCRIPT = """
const low = document.getElementById('low'), high = document.getElementById('high');
function show() {
  let shown = 0;
  for (const card of document.querySelectorAll('figure[data-iou]')) {
    card.hidden = +card.dataset.iou < +low.value || +card.dataset.iou > +high.value;
    shown += !card.hidden;
  }
  document.getElementById('shown').textContent = shown;
}
if (low) { low.addEventListener('input', show); high.addEventListener('input', show); show(); }
"""


def html_report(
    tables: Sequence[Table],
    runs: Sequence[dict[str, Any]],
    galleries: Sequence[Sequence[Shown]],
    about: Sequence[str],
) -> str:
    """The page. ``galleries`` has one list for each run."""
    labels = run_labels(runs)
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>SegAgent evaluation</title><style>{_STYLE}</style></head><body>",
        "<h1>SegAgent evaluation</h1>",
    ]
    parts += [_table(table) for table in tables]
    charts = "".join(_charts(labels, runs))
    if charts:
        parts.append(f"<h2>Curves</h2>{charts}")
    parts += _galleries(labels, galleries)
    parts.append("<h2>How it was made</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in about) + "</ul>")
    parts.append(f"<script>{_SCRIPT}</script></body></html>\n")
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _charts(labels: Sequence[str], runs: Sequence[dict[str, Any]]) -> list[str]:
    """IoU by step or click, NoC by data set and by the IoU to be reached, and the reliability of predicted IoUs."""
    charts = []
    for protocol, word in (("res", "steps"), ("noc", "clicks")):
        steps = [
            _metric_series(label, run, [(float(name[4:]), name) for name in run["metrics"] if name.startswith("IoU@")])
            for label, run in zip(labels, runs, strict=True)
            if run["protocol"] == protocol
        ]
        charts.append(line_chart(f"Mean IoU by number of {word}", (word, "mean IoU"), _some(steps)))
    names = [(threshold, f"NoC@{round(100 * threshold)}") for threshold in CLICK_TARGETS]
    clicks = [
        _metric_series(label, run, names) for label, run in zip(labels, runs, strict=True) if run["protocol"] == "noc"
    ]
    charts.append(
        line_chart("Clicks needed by IoU to be reached", ("IoU", "mean clicks"), _some(clicks), y_from_zero=True)
    )
    charts.append(complexity_chart(runs))
    reliable = [
        Series(label, tuple((one["mean_predicted"], one["mean_true"]) for one in run["reliability"]))
        for label, run in zip(labels, runs, strict=True)
    ]
    charts.append(
        line_chart("Reliability of predicted IoUs", ("predicted IoU", "true IoU"), _some(reliable), diagonal=True)
    )
    return charts


def _some(series: Sequence[Series]) -> list[Series]:
    return [one for one in series if one.points]


def _metric_series(label: str, run: dict[str, Any], names: Sequence[tuple[float, str]]) -> Series:
    """A line through metrics that have a value; with the band of their intervals where all are known."""
    known = [(x, run["metrics"][name]) for x, name in names if run["metrics"].get(name, {}).get("value") is not None]
    whole = all(one["low"] is not None and one["high"] is not None for _, one in known)
    band = tuple((one["low"], one["high"]) for _, one in known) if whole else ()
    return Series(label, tuple((x, one["value"]) for x, one in known), band)


def _galleries(labels: Sequence[str], galleries: Sequence[Sequence[Shown]]) -> list[str]:
    if not any(galleries):
        return []
    parts = [
        "<h2>Best, median and worst</h2>",
        '<p>True IoU from <input id="low" type="number" min="0" max="1" step="0.05" value="0"> to '
        '<input id="high" type="number" min="0" max="1" step="0.05" value="1">: '
        '<span id="shown"></span> shown. Orange is the target, which the policy never sees.</p>',
    ]
    for label, shown in zip(labels, galleries, strict=True):
        if shown:
            parts.append(f"<h3>{escape(label)}</h3>")
        parts += [_card(one) for one in shown]
    return parts


def _card(one: Shown) -> str:
    return (
        f'<figure data-iou="{one.iou:.6f}"><figcaption><span class="group">{escape(one.group)}</span> '
        f"IoU {one.iou:.3f}: {escape(one.text)} "
        f'<span class="group">({escape(one.sample_id)}, {escape(one.image)})</span></figcaption>'
        f'<img alt="target" src="{_data_uri(one.target)}"><img class="strip" alt="steps" src="{_data_uri(one.strip)}">'
        "</figure>"
    )


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
