"""``segagent presets``: what there is by one word, and what of it fits this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.console import reporting_errors, say

if TYPE_CHECKING:
    from segagent.annotation.machine import Machine
    from segagent.annotation.presets import Preset


@reporting_errors
def presets(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Print this one's file.")] = None,
    *,
    pin: Annotated[
        bool,
        typer.Option("--pin", help="Write NAME's file with the commits that the hub names now, for --preset FILE."),
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to, a .toml file.")] = None,
) -> None:
    """List the presets for --preset and what fits this machine, or print one with all that it sets and why."""
    from segagent.annotation.machine import this_machine
    from segagent.annotation.presets import load_preset, pinned, preset_names
    from segagent.core import InputError
    from segagent.imaging import write_bytes

    if pin != (out is not None) or (pin and name is None):
        raise InputError("--pin goes with NAME and -o FILE.toml, and -o with --pin")
    if name is None:
        machine = this_machine()
        say(machine.words())
        for each in preset_names():
            _tell(load_preset(each), machine)
        return
    row = load_preset(name)
    if out is None:
        say(row.text.rstrip())
        return
    if out.suffix != ".toml":
        raise InputError(f"{out}: a preset's file ends in .toml")
    write_bytes(out, pinned(row).encode())
    say(f"written: {out}; use it as --preset {out}")


def _tell(row: Preset, machine: Machine) -> None:
    search = row.search
    box = {"none": "first a click", "own": "first a box"}.get(row.first_box, f"first a box by {row.first_box}")
    steps = f"{search.max_steps} step{'s' * (search.max_steps > 1)}, K = {search.num_candidates}"
    say(f"{row.name}  {row.title}: {row.tool}, {box}, {steps}")
    policy = "--policy-weights" if row.policy_weights is None else row.policy_weights.words()
    tool = "--tool-weights" if row.tool_weights is None else row.tool_weights.words()
    say(f"    weights: {policy}; {tool}")
    for own in (row.policy_weights, row.tool_weights):
        if own is not None and (why := own.why_not_pinned()):
            say(f"    not pinned: {why}")
    if row.gigabytes:
        say(f"    needs about {row.gigabytes:.0f} GB: {machine.fit(row.gigabytes)}")
