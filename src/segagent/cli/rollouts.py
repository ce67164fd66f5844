"""``segagent rollouts``: a policy's own episodes with their rewards, for ``segagent train star --rollouts``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import CrowdsOption, JsonOption, ToolOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, one_line, phases, print_object, reporting_errors, say
from segagent.cli.options import takes
from segagent.cli.running import RunOptions, tell_failures, tell_stopped, told_where

if TYPE_CHECKING:
    from segagent.runs.progress import Progress


@reporting_errors
@takes(RunOptions, "batch_episodes")
def rollouts(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Who plays: embedded, hf:DIR, openai:MODEL@URL ...")],
    datasets: Annotated[
        list[str],
        typer.Argument(metavar="DATASET...", help="As for 'segagent trajectories'; several are played alike."),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder; an existing one is resumed.")],
    crowds: CrowdsOption = False,
    tool: ToolOption = "embedded",
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="T: steps of an episode.")] = 11,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 plays greedily.")] = 0.0,
    starts: Annotated[
        str, typer.Option("--starts", help="What to begin from, separated by commas: empty, box, random.")
    ] = "empty,box,random",
    corrections: Annotated[
        bool,
        typer.Option(
            "--corrections/--no-corrections",
            help="Try the annotator's click where an action did no good; star+ needs it, star does not.",
        ),
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives random starts and sampling.")] = 0,
    run: RunOptions,
    as_json: JsonOption = False,
) -> None:
    """Have a policy play the samples of data sets, with the true IoU of every mask on record, to train on.

    A run that was stopped, even killed, goes on where it stopped when started again. Shards go into folders of their
    own; 'segagent train star MODEL --rollouts DIR...' takes them together.
    """
    from functools import partial

    from segagent.learning.star import StarConfig, make_rollouts
    from segagent.learning.trajectories import parse_starts
    from segagent.runs.models import make_models

    config = StarConfig(max_steps=max_steps, temperature=temperature, tool=tool, seed=seed, starts=parse_starts(starts))
    opened = [open_data(one, crowds=crowds) for one in datasets]
    shard = run.part()
    sizes = [shard.count(one.num_images) for one in opened]
    with told_where(out), phases(unit="images", quiet=as_json) as update:

        def watch(what: str, made: Progress) -> None:
            update(what, made.num_images, sizes[int(what.rsplit(maxsplit=1)[-1]) - 1], made.note())

        made = make_rollouts(
            partial(make_models, policy, tool),
            opened,
            out,
            config,
            shard=shard,
            batch_images=run.batch_images,
            corrections=corrections,
            watch=watch,
            **run.how((policy, tool), max(sizes)),
        )
    played = sum(one.outcomes["trajectories"] for one in made.files.values())
    if as_json:
        print_object(
            {
                "rollouts": str(out),
                "files": [str(path) for path in made.files],
                "num_trajectories": played,
                "num_images": sum(p.num_images for path, p in made.files.items() if path.name.startswith("rollouts")),
                "num_failed": len(made.failures),
                "failures": [{"file": str(path), **one.to_dict()} for path, one in made.failures],
                "stopped": made.stopped,
            }
        )
    else:
        tell_failures([(one.sample_id, one.reason) for _, one in made.failures], "sample", "--json lists all")
        told = one_line(str(out))
        say(f"{played} episodes in {told}; learn from them with: segagent train star MODEL --rollouts {told} -o NEW")
    tell_stopped(made.stopped)
    if made.failures or made.stopped:
        raise typer.Exit(EXIT_SOME_FAILED)
