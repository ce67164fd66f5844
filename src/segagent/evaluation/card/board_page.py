"""A leaderboard as one HTML page: tables that a click on a heading sorts. All text of cards is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from segagent.evaluation.card.boards import Board
from segagent.evaluation.card.figures import FIGURES, SCORE, Figure
from segagent.evaluation.card.pages import NOT_KNOWN, shown
from segagent.evaluation.card.reading import Value
from segagent.pages.elements import list_element, whole_page

_SCRIPT = """
for (const table of document.querySelectorAll('table.board')) {
  table.querySelectorAll('th').forEach((head, column) => head.querySelector('button').addEventListener('click', () => {
    const up = head.getAttribute('aria-sort') === 'none' ? head.dataset.first !== 'down'
      : head.getAttribute('aria-sort') !== 'ascending';
    table.querySelectorAll('th').forEach(other => other.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const body = table.tBodies[0], key = row => row.cells[column].dataset.sort;
    const rows = [...body.rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (x === '' || y === '') return (x === '') - (y === '');
      const order = head.dataset.kind === 'text' ? x.localeCompare(y) : x - y;
      return up ? order : -order;
    });
    body.append(...rows);
  }));
}
"""

_STYLE = """
table.board button { all: unset; cursor: pointer; font-weight: 600; }
table.board button:focus-visible { outline: 2px solid var(--focus); }
table.board th[aria-sort=ascending] button::after { content: " \\25b2"; }
table.board th[aria-sort=descending] button::after { content: " \\25bc"; }
table.board td { white-space: nowrap; } tr.reference { color: var(--quiet); font-style: italic; }
.bounds { color: var(--quiet); font-size: .85em; }
"""


def board_html(boards: Sequence[Board], notes: Sequence[str]) -> str:
    """The page; ``notes`` are text for the end of it."""
    meanings = [f"{figure.ability}, {figure.name}: {figure.definition}." for figure in FIGURES]
    parts = [*(_board(board) for board in boards), list_element("What the figures mean", meanings)]
    if notes:
        parts.append(list_element("Notes", notes))
    return whole_page("HLMAT leaderboard", parts, script=_SCRIPT, style=_STYLE)


def _board(board: Board) -> str:
    heads = [_head("rank", "number"), _head("policy", "text"), _head("tool", "text")]
    heads += [_figure_head(figure) for figure in FIGURES]
    heads.append(_head("failed", "number"))
    rows = []
    for rank, row in board.ranked():
        failed = row.data.counts.get("failed", 0)
        cells = [_cell(NOT_KNOWN if rank is None else str(rank), "" if rank is None else str(rank))]
        cells += [_cell(row.card.name, row.card.name), _cell(row.card.tool, row.card.tool)]
        cells += [_figure_cell(row.data.figures, figure) for figure in FIGURES]
        rows.append("<tr>" + "".join([*cells, _cell(str(failed), str(failed))]) + "</tr>")
    for label, tool, figures in board.references():
        cells = [_cell("", ""), _cell(label, label), _cell(tool, tool)]
        cells += [_figure_cell(figures, figure, missing="") for figure in FIGURES]
        rows.append('<tr class="reference">' + "".join([*cells, _cell("", "")]) + "</tr>")
    return (
        f'<h2>{escape(board.title)}</h2><p class="note">{escape(board.note)}</p><div class="wide">'
        f'<table class="board"><thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _head(name: str, kind: str, *, hint: str = "", first: str = "up", sort: str = "none") -> str:
    return (
        f'<th aria-sort="{sort}" data-kind="{kind}" data-first="{first}" title="{escape(hint)}">'
        f'<button type="button">{escape(name)}</button></th>'
    )


def _figure_head(figure: Figure) -> str:
    first = "up" if figure.better == "lower" else "down"
    sort = "descending" if figure.key == SCORE else "none"
    return _head(f"{figure.ability}: {figure.name}", "number", hint=figure.definition, first=first, sort=sort)


def _figure_cell(figures: Mapping[str, Value], figure: Figure, missing: str = NOT_KNOWN) -> str:
    value = figures.get(figure.key)
    if value is None or value.value is None:
        return _cell(missing, "")
    number, _, bounds = shown(value, figure.key).partition(" ")
    more = f' <span class="bounds">{escape(bounds)}</span>' if bounds else ""
    return f'<td data-sort="{value.value!r}">{escape(number)}{more}</td>'


def _cell(text: str, sort: str) -> str:
    return f'<td data-sort="{escape(sort)}">{escape(text)}</td>'
