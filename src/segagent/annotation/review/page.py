"""The work list as one HTML file: the objects, worst first, then the counts, folded."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from html import escape

from segagent.annotation.review.browsing import CONTROLS, SCRIPT, STYLE
from segagent.annotation.review.entries import WorkItem
from segagent.annotation.review.pictures import Shown
from segagent.pages.elements import table_element, warning_element, whole_page
from segagent.pages.panels import PANEL_STYLE, panels_element
from segagent.pages.table import Table

LISTED = 20_000
"""So many objects, the worst ones, are on the page; the files beside it hold all."""

_COLUMNS = (
    "rank",
    "object_id",
    "image",
    "outcome",
    "text",
    "category",
    "likely_error",
    "evidence",
    "expected_iou_given",
    "expected_iou",
    "reason",
)

_LEGEND = (
    '<p>Worst first. <span class="before">Blue</span> is the given mask, <span class="after">orange</span> the answer '
    "or what was tried; in the last picture blue pixels went away and orange ones are new. A plus is a click on the "
    "object, a minus one beside it. The expected IoU is what masks with such a predicted IoU are worth.</p>"
)


def review_page(
    title: str,
    tables: Sequence[Table],
    entries: Sequence[WorkItem],
    shown: Mapping[int, Shown],
    *,
    warnings: Sequence[str] = (),
    sampled: Collection[int] = (),
    decisions: Mapping[str, str] | None = None,
    standings: Mapping[str, tuple[str, str]] | None = None,
    run: str = "",
    guidelines: str = "",
) -> str:
    """The page. ``entries`` are ranked; ``shown`` and ``sampled`` go by their index, ``decisions`` by object id,
    and ``standings``: how objects stand that people have been at, and who was last.

    ``warnings`` stand above everything else, ``guidelines`` above the list. ``run``: its name, for the file of
    verdicts.
    """
    told, stands = decisions or {}, standings or {}
    listed = list(enumerate(entries, 1))
    on_page = [(rank, entry) for rank, entry in listed if rank <= LISTED or entry.index in shown]
    cards = [
        _card(
            rank,
            entry,
            shown[entry.index],
            [told.get(entry.object_id, ""), _stands(stands, entry)],
            entry.index in sampled,
        )
        for rank, entry in on_page
        if entry.index in shown
    ]
    more = ""
    if len(on_page) < len(entries):
        more = f" This page lists {len(on_page)} of {len(entries)} objects; worklist.csv and worklist.json list all."
    parts = [warning_element(line) for line in warnings]
    if guidelines:
        parts.append(f'<details><summary>Guidelines</summary><pre class="rules">{escape(guidelines)}</pre></details>')
    parts.append(_LEGEND)
    parts += [f'<p class="note">Pictures of {len(cards)} of {len(entries)} objects.{more}</p>', CONTROLS]
    parts += ['<main id="list">', *cards, "</main>"]
    parts.append('<details id="tables"><summary>Counts and costs</summary>')
    parts += [*(table_element(table) for table in tables), "</details>"]
    parts.append(
        f'<script type="application/json" id="rows">{_rows(run, on_page, shown, sampled, told, stands)}</script>'
    )
    return whole_page(title, parts, script=SCRIPT, style=PANEL_STYLE + STYLE)


def _rows(
    run: str,
    on_page: Sequence[tuple[int, WorkItem]],
    shown: Mapping[int, Shown],
    sampled: Collection[int],
    told: Mapping[str, str],
    stands: Mapping[str, tuple[str, str]],
) -> str:
    """All objects of the page as JSON that no HTML can end."""
    rows = []
    for rank, entry in on_page:
        known = {"rank": rank, **entry.to_dict()}
        pictured = entry.index in shown and bool(shown[entry.index].panels)
        more = ["; ".join(entry.doubts), told.get(entry.object_id, ""), entry.index in sampled, pictured, entry.mask]
        more.append(stands.get(entry.object_id, ("", ""))[0])
        rows.append([*(known[name] for name in _COLUMNS), *more])
    columns = [*_COLUMNS, "doubts", "decision", "sampled", "pictured", "mask", "standing"]
    content = json.dumps({"run": run, "columns": columns, "rows": rows}, separators=(",", ":"), allow_nan=False)
    return content.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _stands(stands: Mapping[str, tuple[str, str]], entry: WorkItem) -> str:
    """How the object stands, and by whom, in words."""
    how, by = stands.get(entry.object_id, ("", ""))
    return f"{how} (by {by})" if how and by else how


def _card(rank: int, entry: WorkItem, shown: Shown, said: Sequence[str], sampled: bool) -> str:
    parts = [f'<article class="card" tabindex="-1" data-rank="{rank}"><h3>{rank}. {escape(entry.text)}</h3>']
    facts = [entry.outcome.replace("_", " "), *_scores(entry)]
    if entry.num_clicks:
        facts.append(f"{entry.num_clicks} click{'s' if entry.num_clicks > 1 else ''}")
    parts.append(f"<p>{escape(', '.join(facts))}</p>")
    if entry.likely_error:
        parts.append(f'<p><span class="label">{escape(entry.likely_error)}</span>: {escape(entry.evidence)}</p>')
    if entry.doubts:
        parts.append(f'<p class="bad">{escape("; ".join(entry.doubts))}</p>')
    if shown.missing:
        parts.append(f'<p class="bad">no picture: {escape(shown.missing)}</p>')
    names = [f"object {entry.object_id}", f"image {entry.image}"]
    names += [f"category {entry.category}"] if entry.category is not None else []
    names += [words for words in said if words]
    names += ["random sample"] if sampled else []
    parts.append(f'<p class="ids">{escape(", ".join(names))}</p>')
    parts.append(panels_element(shown.panels))
    return "".join(parts) + "</article>"


def _scores(entry: WorkItem) -> list[str]:
    """What is thought of the given mask and of the answer; one line where they are one."""
    scores = []
    both = (
        ("given", entry.expected_iou_given, entry.predicted_iou_given),
        ("answer", entry.expected_iou, entry.predicted_iou),
    )
    for name, expected, predicted in both[: 1 if entry.outcome in ("audited", "kept") else 2]:
        if expected is not None and predicted is not None:
            scores.append(f"{name}: expected IoU {expected:.2f} (predicted {predicted:.2f})")
    return scores
