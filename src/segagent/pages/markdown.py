"""A report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from segagent.pages.table import Table


def markdown_report(
    tables: Sequence[Table], about: Sequence[str], title: str = "Evaluation", *, warnings: Sequence[str] = ()
) -> str:
    """``warnings``, the tables, and the lines of ``about`` at the end; whatever they hold, it shows as plain text."""
    lines = [f"# {escaped(title)}", ""]
    for warning in warnings:
        lines += [f"**{escaped(warning)}**", ""]
    for table in tables:
        lines += [f"## {escaped(table.title)}", ""]
        lines.append("| " + " | ".join(map(escaped, table.header)) + " |")
        lines.append("|---" * len(table.header) + "|")
        lines += ["| " + " | ".join(map(escaped, row)) + " |" for row in table.rows]
        lines.append("")
        if table.note:
            lines += [escaped(table.note), ""]
    lines += ["## How it was made", ""]
    lines += [f"- {escaped(line)}" for line in about]
    return "\n".join(lines).rstrip() + "\n"


def escaped(text: str) -> str:
    """``text`` on one line, with everything that Markdown or HTML would take for markup written as itself."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", line)
