"""``segagent trajectories``: the simulated annotator's trajectories for a data set, as training data."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import CrowdsOption, JsonOption, TextTemplateOption, ToolOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, one_line, print_object, reporting_errors, say
from segagent.cli.options import takes
from segagent.cli.running import RunOptions, tell_failures, tell_stopped, watching

if TYPE_CHECKING:
    from segagent.runs.progress import Progress


@reporting_errors
@takes(RunOptions, "price", "budget_money", "budget_calls", "batch_episodes")
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
    *,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="TRAJ.jsonl", help="The file; an existing one is resumed."),
    ],
    text_template: TextTemplateOption = None,
    crowds: CrowdsOption = False,
    tool: ToolOption = "embedded",
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="At most so many clicks.")] = 11,
    tau_stop: Annotated[float, typer.Option("--tau-stop", help="Stop once the IoU reaches this.")] = 0.95,
    tau_diff: Annotated[
        float, typer.Option("--tau-diff", help="Discard a click that raises the IoU by less, or not at all, and stop.")
    ] = 0.0,
    starts: Annotated[
        str, typer.Option("--starts", help="What to begin from, separated by commas: empty, box, random.")
    ] = "empty,box,random",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives the random clicks.")] = 0,
    auxiliary: Annotated[
        int,
        typer.Option(
            "--auxiliary",
            min=0,
            help="So many spoiled masks of each object, and as many good ones, for hf: models to judge and correct; "
            "needs the start empty.",
        ),
    ] = 0,
    run: RunOptions,
    as_json: JsonOption = False,
) -> None:
    """Write the simulated annotator's trajectories for every object of a data set.

    A run that was stopped, even killed, goes on where it stopped when started again, and ends with the same file.
    """
    import time
    from functools import partial

    from segagent.environment import GenerationConfig
    from segagent.learning.trajectories import TrajectoryConfig, generate_dataset, parse_starts
    from segagent.tools import make_tool

    rules = GenerationConfig(max_steps, tau_stop, tau_diff)
    config = TrajectoryConfig(rules, parse_starts(starts), seed, run.batch_images, run.part(), auxiliary)
    opened = open_data(dataset, text_template, crowds=crowds)
    mine = config.shard.count(opened.num_images)
    began = time.monotonic()
    kept: list[int] = []
    with watching("trajectories", mine, "samples", out, quiet=as_json) as watch:

        def told(progress: Progress) -> None:
            kept[:] = kept or [progress.num_samples]
            watch(progress)

        made = generate_dataset(opened, partial(make_tool, tool), out, config, watch=told, **run.how((tool,), mine))
    seconds = time.monotonic() - began
    num, failures = made.outcomes["trajectories"], made.failures
    if as_json:
        print_object(
            {
                "trajectories": str(out),
                "num_images": made.num_images,
                "num_samples": made.num_samples,
                "num_trajectories": num,
                "num_failed": len(failures),
                "failures": [asdict(one) for one in failures],
                "num_kept_images": made.num_kept_images,
                "seconds": round(seconds, 3),
                "stopped": made.stopped,
            }
        )
    else:
        tell_failures([(one.sample_id, one.reason) for one in failures], "sample", "--json lists all")
        if not num:
            say("no trajectory was made: " + ("every sample failed" if failures else "there is no sample"))
        new = made.num_samples - kept[0]
        say(
            f"{num} trajectories of {made.num_samples - len(failures)} samples on "
            f"{made.num_images} images ({new} samples in {seconds:.1f} s): {one_line(str(out))}"
        )
    tell_stopped(made.stopped)
    if failures or made.stopped:
        raise typer.Exit(EXIT_SOME_FAILED)
