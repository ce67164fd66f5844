"""A table, of which Markdown and HTML are both made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """``rows`` of text below ``header``; the first column names the row. ``note`` stands below. Nothing is escaped."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
