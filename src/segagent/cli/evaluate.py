"""``segagent evaluate``: the paper's protocols on a data set."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.common import CrowdsOption, JsonOption, SeedOption, TextTemplateOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, one_line, print_object, reporting_errors, say, warn
from segagent.cli.models import ModelOptions
from segagent.cli.options import takes
from segagent.cli.running import RunOptions, tell_failures, tell_stopped, watching

if TYPE_CHECKING:
    from segagent.evaluation.protocols import EvaluationConfig
    from segagent.runs.progress import Progress


class Protocol(StrEnum):
    """What is done with each sample."""

    RES = "res"
    NOC = "noc"
    FILTER = "filter"
    REFINE = "refine"
    OUTLINE = "outline"


class Select(StrEnum):
    """Which mask of a trajectory is measured."""

    RETURNED = "returned"
    PUBLISHED = "published"
    LAST = "last"


@reporting_errors
@takes(ModelOptions, "policy", "max_seconds", "max_calls", "max_money")
@takes(RunOptions)
def evaluate(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A data set, as 'segagent trajectories' takes it: a folder, a .json file, or scenes:NUM[:options].",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder; an existing one is resumed.")],
    text_template: TextTemplateOption = None,
    crowds: CrowdsOption = False,
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            help="res: text to mask. noc: clicks needed to reach an IoU. filter: can the policy's predicted IoU tell "
            "good masks from bad ones? refine: improve degraded masks. outline: the policy's own outline as the mask, "
            "no click (embedded policies): what clicking has to beat.",
        ),
    ] = Protocol.RES,
    policy: Annotated[
        str | None,
        typer.Option(
            "--policy",
            help="Who clicks, or scores. [default: embedded; for noc the simulated annotator, which knows the target]",
            show_default=False,
            rich_help_panel=ModelOptions.PANEL,
        ),
    ] = None,
    models: ModelOptions,
    no_prm: Annotated[
        bool, typer.Option("--no-prm", help="res: make all steps and take the last mask, whatever IoU is predicted.")
    ] = False,
    all_steps: Annotated[
        bool, typer.Option("--all-steps", help="res: do not stop early, so that the IoU after every step is known.")
    ] = False,
    max_clicks: Annotated[int, typer.Option("--max-clicks", min=1, help="noc: at most so many clicks.")] = 20,
    enough: Annotated[float, typer.Option("--enough", help="noc: an object at this IoU is clicked no further.")] = 1.0,
    draws: Annotated[int, typer.Option("--draws", min=1, help="filter: masks per sample.")] = 1,
    select: Annotated[
        Select,
        typer.Option(
            "--select", help="Which mask is measured: the one returned, the published evaluation's choice, or the last."
        ),
    ] = Select.RETURNED,
    seed: SeedOption = 0,
    run: RunOptions,
    as_json: JsonOption = False,
) -> None:
    """Play every sample of a data set and measure the masks against the true ones.

    Writes OUT/trajectories.jsonl, all that happened, and OUT/results.json. A run that was stopped, even killed, goes on
    where it stopped when started again, and ends with the same results. The policy never sees a true mask.
    """
    from functools import partial

    from segagent.evaluation.protocols import EvaluationConfig
    from segagent.evaluation.results import RESULTS_FILE, read_results
    from segagent.evaluation.run import evaluate_with
    from segagent.runs.models import with_tool_alone

    simulated = protocol is Protocol.NOC and models.preset is None and policy in (None, "simulated")
    choice = replace(models, policy=None if simulated else policy).choose()
    search = choice.search
    if no_prm:
        search = replace(search, use_prm=False)
    elif all_steps:
        search = replace(search, stop_iou=2.0, patience=search.max_steps)
    config = EvaluationConfig(
        protocol.value, search, max_clicks, enough, draws, seed, run.part(), run.batch_images, run.batch_episodes
    )
    opened = open_data(dataset, text_template, crowds=crowds)
    # Masks to be judged or improved are given: no first box is asked for.
    given = protocol in (Protocol.FILTER, Protocol.REFINE, Protocol.OUTLINE)
    make = with_tool_alone(choice.make_tool) if simulated else partial(choice.make_models, started=given)
    mine = config.shard.count(opened.num_images)
    specs = choice.specs[-1:] if simulated else choice.specs
    choice.fetch()
    with watching("evaluation", mine, "samples", out, quiet=as_json) as watch:
        progress = evaluate_with(opened, make, out, config, select=select.value, watch=watch, **run.how(specs, mine))
    results = read_results(out)
    if as_json:
        print_object(results)
    else:
        _tell(results, config, progress, out / RESULTS_FILE)
    tell_stopped(progress.stopped)
    if progress.failures or progress.stopped:
        raise typer.Exit(EXIT_SOME_FAILED)


def nothing_measured(results: dict[str, Any]) -> str:
    """Why there is no figure, in words; empty where there are some."""
    counts = results["counts"]
    if counts["samples"]:
        return ""
    if counts["failed"]:
        return f"nothing was measured: every sample failed ({counts['failed']})"
    return "nothing was measured: there is no sample" + (" but skipped ones" if counts["skipped"] else "")


def _tell(results: dict[str, Any], config: EvaluationConfig, progress: Progress, path: Path) -> None:
    tell_failures([(one.sample_id, one.reason) for one in progress.failures], "sample", f"{path} lists all")
    counts = results["counts"]
    if words := nothing_measured(results):
        say(words)
    part = f", part {config.shard}" if config.shard.of > 1 else ""
    skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
    say(f"{counts['samples']} samples on {counts['images']} images{part}{skipped}")
    for name, one in results["metrics"].items():
        if not name.startswith("failed@") and one["value"] is not None:
            bounds = "" if one["low"] is None else f" [{one['low']:.3f}, {one['high']:.3f}]"
            failures = f", {one['failures']} failures" if "failures" in one else ""
            say(f"{name:26} {one['value']:.3f}{bounds}{failures}")
    if progress.cost["money"]:
        say(f"cost: {progress.cost['money']:.4g} of money as the server tells")
    if progress.cost["not_greedy"]:
        count = progress.cost["not_greedy"]
        warn(f"{count:.0f} replies were sampled, for the policy's server takes no temperature")
    if count := progress.cost["not_structured"]:
        warn(f"{count:.0f} replies were written freely, for the policy's server takes no JSON schema")
    say(f"results: {one_line(str(path))}")
