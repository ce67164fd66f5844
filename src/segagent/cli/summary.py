"""``segagent summary`` and ``segagent check``: what a run is worth, and how a person finds out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.accepting import AcceptOptions, tell_decision
from segagent.cli.common import JsonOption, OnlyOption, chosen_run
from segagent.cli.console import one_line, print_object, reporting_errors, say, warn
from segagent.cli.options import takes
from segagent.cli.reviewing import ServingOptions
from segagent.cli.runs import tell_summary

RunArgument = Annotated[
    Path, typer.Argument(metavar="RUN", help="The run folder of audit, refine or annotate.", show_default=False)
]


@reporting_errors
@takes(AcceptOptions)
def summary(
    run: RunArgument,
    *,
    only: OnlyOption = None,
    accepting: AcceptOptions,
    as_json: JsonOption = False,
) -> None:
    """Say what a run holds; with --accept, which masks can be taken as they are and how many a person must see."""
    from segagent.annotation.batch import open_run, summarise_run

    opened = chosen_run(open_run(run), only)
    found = summarise_run(opened)
    decision = accepting.decide(opened)
    accepted = 0 if decision is None else len(decision.accepted)
    cost = {name: round(value / accepted, 4) for name, value in found["cost"].items()} if accepted else None
    if as_json:
        about = {} if decision is None else {"accept": decision.to_dict(), "cost_per_accepted": cost}
        print_object({**found, **about})
        return
    tell_summary(found)
    if decision is not None:
        tell_decision(decision)
    if cost is not None:
        say(f"cost per accepted mask: {cost.get('seconds', 0):.2f} s, {cost.get('policy_calls', 0):.1f} policy calls")


@reporting_errors
@takes(ServingOptions)
def check(
    run: RunArgument,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The folder for checked.json and a picture of each mask.", show_default=False),
    ] = None,
    num: Annotated[int, typer.Option("--num", min=1, help="How many masks; 50 or more stand on their own.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives the drawing.")] = 0,
    only: OnlyOption = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve a page on which one key says ok and another wrong, instead of files.")
    ] = False,
    serving: ServingOptions,
) -> None:
    """Draw masks of a run for you to check: look at each picture and set its verdict in checked.json.

    With --serve the verdicts are given on a page and go into RUN/people.jsonl as they are given.
    """
    from segagent.annotation.batch import open_run, warnings_of
    from segagent.annotation.batch.sampling import sample_to_check, write_sample
    from segagent.core import InputError

    opened = chosen_run(open_run(run), only)
    drawn = sample_to_check(opened, num, seed)
    if not drawn:
        raise InputError(f"{run}: has no mask with a predicted IoU to check")
    for line in warnings_of(opened):
        warn(line)
    if serve:
        serving.serve(opened, sample=drawn, drawn={"num": num, "seed": seed})
        return
    serving.refuse()
    if out is None:
        raise InputError("--out is missing; give the folder for the file and the pictures (-o FOLDER), or --serve")
    path = write_sample(opened, drawn, out)
    say(f'{len(drawn)} masks: set each "verdict" to "ok" or "wrong" in {one_line(str(path))}')
    say(f"then: segagent summary {one_line(str(run))} --accept 0.95 --calibrate {one_line(str(path))}")
