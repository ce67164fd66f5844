"""``segagent trajectories``: the simulated annotator's trajectories for a data set, as training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import CrowdsOption, TextTemplateOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, counting_parts, one_line, print_object, reporting_errors, say, warn

_MAX_LISTED = 20


@reporting_errors
def trajectories(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A folder with manifest.json or COCO's instances.json, a COCO .json file, or generated scenes: "
            "scenes:NUM[:seed=1,split=train,complexity=mixed,size=256,sentences=10].",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="TRAJ.jsonl", help="The file; one that is there already is gone on with."),
    ],
    text_template: TextTemplateOption = None,
    crowds: CrowdsOption = False,
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="At most so many clicks.")] = 11,
    tau_stop: Annotated[float, typer.Option("--tau-stop", help="Stop once the IoU reaches this.")] = 0.95,
    tau_diff: Annotated[
        float, typer.Option("--tau-diff", help="Discard a click that raises the IoU by less, or not at all, and stop.")
    ] = 0.0,
    starts: Annotated[
        str, typer.Option("--starts", help="What to begin from, separated by commas: empty, box, random.")
    ] = "empty,box,random",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives the random clicks.")] = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes. [default: one per core]", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and no progress.")] = False,
) -> None:
    """Write the simulated annotator's trajectories for every object of a data set.

    A run that was stopped, even killed, goes on where it stopped when started again, and ends with the same file.
    """
    import time
    from functools import partial

    from segagent.distributed import available_cores
    from segagent.environment import GenerationConfig
    from segagent.learning.trajectories import (
        Report,
        TrajectoryConfig,
        generate_dataset,
        parse_starts,
    )
    from segagent.tools import make_tool

    config = TrajectoryConfig(GenerationConfig(max_steps, tau_stop, tau_diff), parse_starts(starts), seed)
    opened = open_data(dataset, text_template, crowds=crowds)
    began = time.monotonic()
    kept: list[int] = []
    with counting_parts("trajectories", opened.num_images, unit="images", part="samples", quiet=as_json) as update:

        def progress(report: Report) -> None:
            kept[:] = kept or [report.num_samples]
            failed = f"{len(report.failures)} failed" if report.failures else ""
            update(report.num_images, report.num_samples, failed)

        report = generate_dataset(
            opened,
            partial(make_tool, tool),
            out,
            config,
            workers=min(workers or available_cores(), max(opened.num_images, 1)),
            progress=progress,
        )
    seconds = time.monotonic() - began
    if as_json:
        print_object(
            {
                "trajectories": str(out),
                "num_images": report.num_images,
                "num_samples": report.num_samples,
                "num_trajectories": report.num_trajectories,
                "num_failed": len(report.failures),
                "failures": [
                    {"sample_id": failure.sample_id, "image": failure.image, "reason": failure.reason}
                    for failure in report.failures
                ],
                "num_kept_images": report.num_kept_images,
                "seconds": round(seconds, 3),
            }
        )
    else:
        for failure in report.failures[:_MAX_LISTED]:
            warn(f"sample {failure.sample_id} failed: {failure.reason}")
        if len(report.failures) > _MAX_LISTED:
            warn(f"and {len(report.failures) - _MAX_LISTED} more failed samples; --json lists all")
        if not report.num_trajectories:
            say("no trajectory was made: " + ("every sample failed" if report.failures else "there is no sample"))
        made = report.num_samples - kept[0]
        say(
            f"{report.num_trajectories} trajectories of {report.num_samples - len(report.failures)} samples on "
            f"{report.num_images} images ({made} samples in {seconds:.1f} s): {one_line(str(out))}"
        )
    if report.failures:
        raise typer.Exit(EXIT_SOME_FAILED)
