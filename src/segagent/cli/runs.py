"""A whole data set annotated, refined or audited: into a run folder that can be resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.common import DATA_SET, open_data, parse_only, tell_notes
from segagent.cli.console import EXIT_SOME_FAILED, one_line, print_object, say, warn
from segagent.cli.models import Choice
from segagent.cli.running import RunOptions, tell_failures, tell_stopped, watching

if TYPE_CHECKING:
    from segagent.annotation.batch import RunConfig
    from segagent.datasets import Dataset

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE|DATASET",
        help="A picture file; or, without TEXT, a data set: a folder, COCO annotations, scheme:PATH.",
        show_default=False,
    ),
]
OptionalTextArgument = Annotated[
    str | None, typer.Argument(metavar="TEXT", help="What to segment in the picture, in words.", show_default=False)
]
ImagesOption = Annotated[
    Path | None, typer.Option("--images", help="The folder with the images of a .json file.", rich_help_panel=DATA_SET)
]


def require_text(source: str) -> None:
    """Raise ``InputError`` for one picture without words."""
    from PIL import Image as Pillow

    from segagent.core import InputError

    if Path(source).suffix.lower() in Pillow.registered_extensions():
        raise InputError(f"{source}: TEXT is missing; say what to segment in the picture")


def require_unset(**options: object) -> None:
    """Raise ``InputError`` for an option that belongs to the other way of calling the command."""
    from segagent.core import InputError

    for name, value in options.items():
        if value is not None and value is not False:
            raise InputError(
                f"--{name.replace('_', '-')}: one picture is given with TEXT, a data set without; "
                "this option belongs to the other of the two"
            )


def open_given(
    source: str, *, images: Path | None = None, prompts: Path | None = None, crowds: bool = False
) -> Dataset:
    """The data set that an argument names, its pictures in ``images``; or ``prompts``' sentences about a folder.

    Warns of what it leaves out. Raises ``InputError`` also where these do not fit one another.
    """
    from segagent.core import InputError
    from segagent.datasets.lvis import coco_file
    from segagent.datasets.prompts import prompts_file

    opened: Dataset
    if images is not None:
        if not Path(source).is_file() or not source.endswith(".json"):
            raise InputError(f"{source}: --images goes with a .json file; a folder or scheme:PATH knows its images")
        if not images.is_dir():
            raise InputError(f"{images}: no such folder; --images names the folder with the images")
        opened = coco_file(Path(source), images, crowds=crowds)
    elif prompts is not None:
        if not Path(source).is_dir():
            raise InputError(f"{source}: not a folder; with --prompts give the folder with the images")
        if not prompts.is_file():
            raise InputError(f"{prompts}: no such file; expected a CSV file with the columns image,text or COCO JSON")
        if prompts.suffix.lower() == ".json":
            opened = coco_file(prompts, Path(source), crowds=crowds)
        elif crowds:
            raise InputError(f"{prompts}: nothing in a CSV file is left out as a crowd; --crowds goes with COCO files")
        else:
            opened = prompts_file(prompts, Path(source))
    else:
        return open_data(source, crowds=crowds)
    tell_notes(opened)
    return opened


def run_dataset(
    opened: Dataset,
    out: Path,
    choice: Choice,
    config: RunConfig,
    *,
    only: list[str] | None,
    guidelines: Path | None,
    run: RunOptions,
    as_json: bool,
) -> None:
    """Do a job to a data set, or to the objects of it that ``only`` takes: progress, summary, exit code."""
    from functools import partial

    from segagent.annotation.batch import make_models, run_job
    from segagent.annotation.batch.choosing import ChosenDataset
    from segagent.annotation.batch.summary import read_summary
    from segagent.policies.chat import read_guidelines

    chosen = parse_only(only)
    rules = "" if guidelines is None else read_guidelines(guidelines)
    if rules and choice.policy.partition(":")[0] == "embedded":
        warn("the embedded policy reads no guidelines, only the object's words; people see them in review")
    if chosen.in_data:
        opened = ChosenDataset(opened, chosen, warn)
    config = replace(config, only=chosen, guidelines=rules)

    first_box = choice.first_box if config.job == "annotate" else "none"
    choice.fetch()
    with watching(config.job, opened.num_images, "objects", out, quiet=as_json) as watch:
        progress = run_job(
            opened,
            partial(make_models, choice.policy, choice.tool, first_box),
            out,
            replace(config, search=choice.search, batch_images=run.batch_images, batch_episodes=run.batch_episodes),
            notes={"policy": choice.policy, "tool": choice.tool},
            watch=watch,
            **run.how(choice.specs, opened.num_images),
        )
    summary = read_summary(out)
    if as_json:
        print_object(summary)
    else:
        tell_summary(summary)
    if progress.failures or progress.stopped:
        raise typer.Exit(EXIT_SOME_FAILED)


def tell_summary(summary: dict[str, Any]) -> None:
    """Say what a summary holds: on stdout what goes before all figures, then the figures; on stderr the failures."""
    job = summary["job"]
    told = [(failure["object_id"], failure["reason"]) for failure in summary["failed"]]
    tell_failures(told, "object", "summary.json lists all")
    tell_counts(summary)
    if summary["likely_errors"] is not None:
        counts = [f"{count} {label}" for label, count in summary["likely_errors"].items() if count]
        say("likely errors: " + (", ".join(counts) or "none"))
    if summary["expected_iou_given"] is not None:
        say(f"expected IoU of the given masks {summary['expected_iou_given']:.3f}")
    if job != "audit" and summary["expected_iou"] is not None:
        say(f"expected IoU of the answers     {summary['expected_iou']:.3f}")
    cost = summary["cost"]
    money = f", {cost['money']:.4g} of money as the server tells" if cost.get("money") else ""
    say(f"cost: {cost.get('seconds', 0):.1f} s, {cost.get('policy_calls', 0):.0f} policy calls{money}")
    if cost.get("not_greedy"):
        warn(f"{cost['not_greedy']:.0f} replies were sampled, for the policy's server takes no temperature")
    if cost.get("not_structured"):
        warn(f"{cost['not_structured']:.0f} replies were written freely, for the policy's server takes no JSON schema")
    if "people" in summary:
        tell_people(summary["people"])
    tell_stopped(summary.get("stopped", ""))
    say(f"run: {summary['run']}; next: segagent review {summary['run']}")


def tell_people(counts: dict[str, Any]) -> None:
    """Say what people did to a run, in a line, and what is left to do, in another."""
    did = ("confirmed", "wrong", "corrected", "taken", "added", "removed", "relabelled", "rephrased")
    told = ", ".join(f"{counts[name]} {name}" for name in did if counts[name])
    names = ", ".join(f"{one_line(name)} ({number})" for name, number in counts["people"].items())
    say(f"people: {told or 'nothing decided'}" + (f"; by {names}" if names else ""))
    unsure = "".join(f", {counts['verdicts'][name]} {words}" for name, words in _UNDECIDED if counts["verdicts"][name])
    contested = f"; {counts['contested']} contested: two people were at them" if counts["contested"] else ""
    say(f"not decided on: {counts['remaining']}{unsure}{contested}")


_UNDECIDED = (("unsure", "of them unsure"), ("skip", "skipped"))


def tell_counts(summary: dict[str, Any]) -> None:
    """Say what goes before all figures, a line each, and then how many objects there are of each outcome."""
    for line in summary["warnings"]:
        say(line)
    counts = [f"{count} {name.replace('_', ' ')}" for name, count in summary["outcomes"].items()]
    doubts = f"; the policy doubts {summary['doubted']}" if summary["doubted"] else ""
    counted = f"{', '.join(counts) or 'none done'}, {len(summary['failed'])} failed{doubts}"
    say(f"{summary['job']}: {summary['objects']} objects: {counted}")
