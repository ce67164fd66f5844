"""``segagent presets``: the paper's rows by name."""

from __future__ import annotations

from typing import Annotated

import typer

from segagent.cli.console import reporting_errors, say


@reporting_errors
def presets(name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this one's file.")] = None) -> None:
    """List the presets for annotate's --preset, or print one with all that it sets and why."""
    from segagent.annotation.presets import load_preset, preset_names

    if name is not None:
        say(load_preset(name).text.rstrip())
        return
    rows = [load_preset(each) for each in preset_names()]
    width = max(len(row.name) for row in rows)
    for row in rows:
        search = row.search
        box = {"none": "first a click", "own": "first a box"}.get(row.first_box, f"first a box by {row.first_box}")
        words = f"{row.tool}, {box}, {search.max_steps} step{'s' * (search.max_steps > 1)}, K = {search.num_candidates}"
        say(f"{row.name:{width}}  {row.title}: {words}")
