"""A report as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from segagent.evaluation.measuring import CLICK_TARGETS
from segagent.evaluation.report.complexity import complexity_chart
from segagent.evaluation.report.gallery import Shown
from segagent.evaluation.report.tables import run_labels
from segagent.pages.charts import Series, line_chart
from segagent.pages.elements import data_uri, list_element, table_element, warning_element, whole_page
from segagent.pages.table import Table

GALLERY_SCRIPT = """
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
    warnings: Sequence[str] = (),
) -> str:
    """The page. ``galleries`` has one list for each run; ``warnings`` stand above everything else."""
    labels = run_labels(runs)
    parts = [warning_element(line) for line in warnings]
    parts += [table_element(table) for table in tables]
    charts = "".join(_charts(labels, runs))
    if charts:
        parts.append(f"<h2>Curves</h2>{charts}")
    parts += galleries_html(labels, galleries)
    parts.append(list_element("How it was made", about))
    return whole_page("SegAgent evaluation", parts, script=GALLERY_SCRIPT)


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


def galleries_html(labels: Sequence[str], galleries: Sequence[Sequence[Shown]]) -> list[str]:
    """Film strips under a label each; the page needs :data:`GALLERY_SCRIPT`."""
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
        f'<img alt="target" src="{data_uri(one.target)}"><img class="strip" alt="steps" src="{data_uri(one.strip)}">'
        "</figure>"
    )
