"""A diff as tables, as one HTML page and as Markdown."""

from __future__ import annotations

from html import escape

from segagent.annotation.diff.comparing import Diff
from segagent.annotation.diff.gallery import Card, Gallery
from segagent.annotation.review.tables import bar
from segagent.pages.elements import table_element, whole_page
from segagent.pages.markdown import markdown_report
from segagent.pages.panels import PANEL_STYLE, panels_element
from segagent.pages.table import Table

TITLE = "What changed in the annotations"
_MOST_ROWS = 200
_LEGEND = (
    '<p><span class="before">Blue</span> is before, <span class="after">orange</span> after; in the last picture blue '
    "pixels went away and orange ones are new.</p>"
)


def diff_tables(diff: Diff) -> list[Table]:
    """The counts, the histogram, the categories, what changed beside masks, and what could not be read."""
    summary = diff.summary()
    rows = [(name, str(summary[name])) for name in ("unchanged", "changed", "removed", "added")]
    if diff.num_not_compared:
        rows.append(("not compared, for one side cannot be read", str(diff.num_not_compared)))
    rows += [(f"changed: {name}", str(count)) for name, count in summary["changed_by"].items()]
    if summary["mean_iou"] is not None:
        rows.append(("mean IoU of before and after", f"{summary['mean_iou']:.4f}"))
    note = (
        f"{diff.before.name} ({summary['num_before']} annotations) and {diff.after.name} ({summary['num_after']}), "
        f"matched {diff.how}."
    )
    histogram = diff.histogram()
    most = max(count for _, count in histogram)
    bins = tuple((name, str(count), bar(count, most)) for name, count in histogram)
    names = ("unchanged", "changed", "removed", "added")
    categories = tuple((name, *(str(n[one]) for one in names)) for name, n in diff.by_category().items())
    tables = [
        Table("Pictures that do not go together", ("what",), tuple((line,) for line in diff.pictures.warnings())),
        Table("Counts", ("", "annotations"), tuple(rows), note),
        Table("IoU of the masks before and after", ("IoU", "annotations", ""), bins),
        Table("By category", ("category", *names), categories[:_MOST_ROWS], _cut(len(categories))),
        _other_changes(diff),
        Table("Could not be read", ("what",), tuple((line,) for line in diff.problems[:_MOST_ROWS])),
    ]
    return [table for table in tables if table.rows]


def diff_page(diff: Diff, gallery: Gallery) -> str:
    """The HTML page."""
    parts = [table_element(table) for table in diff_tables(diff)]
    if gallery.groups:
        parts.append(f"<h2>Pictures</h2>{_LEGEND}")
    for group, cards in gallery.groups.items():
        parts.append(f"<h3>{escape(group)}</h3>")
        parts += [_card(card) for card in cards]
    if gallery.missing:
        parts.append("<h2>Without their picture</h2><ul>")
        parts += [f"<li>{escape(line)}</li>" for line in gallery.missing]
        parts.append("</ul>")
    return whole_page(TITLE, parts, style=PANEL_STYLE)


def diff_markdown(diff: Diff) -> str:
    """The tables as Markdown."""
    return markdown_report(diff_tables(diff), [f"segagent diff of {diff.before.name} and {diff.after.name}"], TITLE)


def _other_changes(diff: Diff) -> Table:
    """Changes of categories, boxes and keys, one a row."""
    rows = [
        (one.pair.before.annotation_id, one.pair.before.image, name, before, after)
        for one in diff.changed
        for name, (before, after) in one.changes.items()
        if name != "mask"
    ]
    header = ("annotation", "image", "what", "before", "after")
    return Table("Changed beside the masks", header, tuple(rows[:_MOST_ROWS]), _cut(len(rows)))


def _cut(number: int) -> str:
    return f"The first {_MOST_ROWS} of {number}; diff.json has all." if number > _MOST_ROWS else ""


def _card(card: Card) -> str:
    lines = "".join(f'<p class="ids">{escape(line)}</p>' for line in card.lines)
    return f'<article class="card"><h3>{escape(card.heading)}</h3>{lines}{panels_element(card.panels)}</article>'
