"""Pages as one HTML file that needs nothing else: no server, no network, no other file.

Everything that comes from data sets, models or file names is escaped; a page's policy forbids loading anything.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from segagent.pages.table import Table

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1c1c22; --quiet: #555; --line: #ddd; --raised: #f5f5f7;
  --warn: #fff3cd; --warn-line: #b35c00; --focus: #0072b2; --given: #0072b2; --answer: #8f6100; --bad: #8a3b00;
  --grid: #e4e4e8; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #17171b; --text: #ececf1; --quiet: #a9a9b5; --line: #3a3a44; --raised: #24242b; --warn: #43330a;
    --warn-line: #e69f00; --focus: #7cc4ef; --given: #7cc4ef; --answer: #f0b640; --bad: #ffb27d; --grid: #33333c; }
  svg [stroke="#333"] { stroke: #ccc; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--ground); margin: 2rem auto;
  max-width: 1400px; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; } a { color: var(--focus); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--raised); } td:first-child { font-weight: 600; }
.warning { background: var(--warn); border-left: 5px solid var(--warn-line); padding: .5rem .8rem; font-weight: 600; }
.note { color: var(--quiet); font-size: .9rem; }
summary { cursor: pointer; font-weight: 600; margin-top: 1.5rem; }
svg { max-width: 100%; height: auto; margin: .5rem 1rem .5rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: var(--text); } svg .title { font-weight: 600; }
svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .grid { stroke: var(--grid); } svg .diagonal { stroke: #999; stroke-dasharray: 4 4; }
figure { margin: 1rem 0; padding: .8rem; border: 1px solid var(--line); border-radius: 6px; }
figure .strip { max-width: 100%; height: auto; display: block; margin-top: .5rem; }
figcaption .group { color: var(--quiet); }
input { width: 5rem; } [hidden] { display: none; }
"""


def whole_page(title: str, parts: Sequence[str], *, script: str = "", style: str = "") -> str:
    """A page with ``title`` as text, and ``parts``, ``script`` and more ``style`` as they are."""
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{STYLE}{style}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            f"<script>{script}</script></body></html>\n",
        ]
    )


def table_element(table: Table) -> str:
    """A table with its title above and its note below."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table.header)
    rows = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def warning_element(line: str) -> str:
    """What must be known before anything else on the page, as a sentence of its own."""
    return f'<p class="warning">{escape(line[:1].upper() + line[1:])}.</p>'


def list_element(title: str, lines: Sequence[str]) -> str:
    """A heading with a list of text below it."""
    return f"<h2>{escape(title)}</h2><ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def data_uri(jpeg: bytes) -> str:
    """A JPEG file as the source of an image."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
