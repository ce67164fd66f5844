"""``segagent report``: tables, plots and pictures of evaluations, from what they stored."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import one_line, print_object, reporting_errors, say, waiting, warn
from segagent.cli.evaluate import Select


@reporting_errors
def report(
    outs: Annotated[
        list[Path],
        typer.Argument(
            metavar="OUT...", help="Folders of 'segagent evaluate'; the shards of one evaluation are put together."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="REPORT", help="The folder to write.")],
    select: Annotated[
        Select,
        typer.Option(
            "--select", help="Which mask is measured: the one returned, the published evaluation's choice, or the last."
        ),
    ] = Select.RETURNED,
    gallery: Annotated[
        int | None,
        typer.Option(
            "--gallery",
            min=0,
            help="So many best, median and worst trajectories of each run as film strips. "
            "[default: 4, fewer where there are more than five runs]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DATASET", help="Where the pictures are now, if not where they were.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make REPORT/report.html (one file, opens from disk), report.md and results.json out of evaluations.

    Everything is measured anew from the stored trajectories; no model is needed, and the data set only for the
    pictures of the gallery.
    """
    from segagent.evaluation.report import write_report

    with waiting("measuring", quiet=as_json):
        made = write_report(outs, out, select=select.value, gallery=gallery, data=data)
    if as_json:
        print_object(made.results)
        return
    for line in made.warnings:
        warn(line)
    for run in made.results["runs"]:
        counts = run["counts"]
        config = run["config"]
        say(
            one_line(
                f"{config['protocol']}: {config['policy']} + {config['tool']}, {counts['samples']} samples on "
                f"{counts['images']} of {counts['images_in_dataset']} images, {counts['failed']} failed"
            )
        )
    say(f"report: {one_line(str(out / 'report.html'))}")
