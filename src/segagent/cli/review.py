"""``segagent review``: a run as a ranked work list that opens from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.accepting import AcceptOptions, tell_decision
from segagent.cli.common import OnlyOption, chosen_run
from segagent.cli.console import (
    EXIT_SOME_FAILED,
    one_line,
    phases,
    print_object,
    reporting_errors,
    say,
    warn,
)
from segagent.cli.options import takes
from segagent.cli.reviewing import ServingOptions
from segagent.cli.runs import tell_counts
from segagent.cli.summary import RunArgument

_MAX_LISTED = 20


@reporting_errors
@takes(ServingOptions)
@takes(AcceptOptions)
def review(
    run: RunArgument,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder to write. [default: RUN/review]", show_default=False)
    ] = None,
    most: Annotated[int, typer.Option("--max", min=0, help="So many of the worst objects get pictures.")] = 200,
    sample: Annotated[
        int,
        typer.Option(
            "--sample", min=0, help="So many masks drawn by chance, as 'segagent check' draws them, get pictures too."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Which objects --sample draws.")] = 0,
    only: OnlyOption = None,
    accepting: AcceptOptions,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DATASET", help="Where the pictures are now, if not where they were.", show_default=False
        ),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve a page to put objects right on, instead of writing one to look at.")
    ] = False,
    serving: ServingOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and files as one JSON object.")] = False,
) -> None:
    """Rank the objects of RUN, those most worth a person's look first, on one HTML page with pictures.

    The page needs no server and loads nothing. worklist.csv and worklist.json beside it hold all objects.

    With --serve the page is one to work on: clicks that the run's tool answers, strokes, verdicts, notes. All goes into
    RUN/people.jsonl as it is done; stop with Ctrl-C and go on whenever you like.
    """
    from segagent.annotation.batch import open_run
    from segagent.annotation.review import write_review

    opened = chosen_run(open_run(run), only)
    if serve:
        serving.serve(opened, data=data)
        return
    serving.refuse(but="guidelines")
    with phases(unit="objects", quiet=as_json) as update:
        made = write_review(
            opened,
            out if out is not None else run / "review",
            most=most,
            sample=sample,
            seed=seed,
            accept=accepting.accept,
            accept_iou=accepting.accept_iou,
            data=data,
            checked=accepting.calibrate,
            guidelines=serving.rules(opened),
            watch=lambda what, done, total: update(what, done, total, ""),
        )
    result = made.result
    if as_json:
        print_object(result)
    else:
        for line in made.missing[:_MAX_LISTED]:
            warn(f"no picture: {line}")
        if len(made.missing) > _MAX_LISTED:
            warn(f"and {len(made.missing) - _MAX_LISTED} more reasons; the page tells all")
        tell_counts(result)
        if made.decision is not None:
            tell_decision(made.decision)
        say(f"review: {one_line(result['page'])}; all objects: {one_line(result['csv'])}")
    if result["without_picture"]:
        raise typer.Exit(EXIT_SOME_FAILED)
