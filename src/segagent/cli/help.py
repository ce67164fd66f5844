"""Plain help pages in parts: commands and options under the heading that their ``rich_help_panel`` names.

Rich's own pages take longer to appear, squeeze what long options say into a few columns, and read ``[default: 7]`` as
markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup


def examples(*lines: str) -> str:
    """Examples below a help page, their line breaks kept."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


class HelpfulCommand(TyperCommand):
    """A command whose options stand in parts, those without a heading first."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        shown = [(one, one.get_help_record(ctx)) for one in self.get_params(ctx)]
        rows = [
            ("Arguments" if one.param_type_name == "argument" else _panel(one, "Options"), record)
            for one, record in shown
            if record is not None
        ]
        for heading, records in _parts(rows, ("Arguments", "Options")).items():
            with formatter.section(heading):
                formatter.write_dl(records)


class HelpfulGroup(TyperGroup):
    """A group of commands whose list is in parts, and in which what a command does is never cut off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        shown = [(name, one) for name, one in listed if one is not None and not one.hidden]
        width = max((len(name) for name, _ in shown), default=0)
        rows = [(_panel(one, "Commands"), (name.ljust(width), _short(one))) for name, one in shown]
        for heading, records in _parts(rows, ("Commands",)).items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _short(command: Any) -> str:
    """What a command does, in a line."""
    return str(command.short_help or (command.help or "").partition("\n\n")[0].replace("\n", " "))


def _panel(one: Any, otherwise: str) -> str:
    panel = getattr(one, "rich_help_panel", None)
    return panel if isinstance(panel, str) else otherwise


def _parts(rows: Iterable[tuple[str, tuple[str, str]]], first: tuple[str, ...]) -> dict[str, list[tuple[str, str]]]:
    """Rows by heading: the ``first`` ones, then others as they come."""
    parts: dict[str, list[tuple[str, str]]] = {heading: [] for heading in first}
    for heading, record in rows:
        parts.setdefault(heading, []).append(record)
    return {heading: records for heading, records in parts.items() if records}
