"""``segagent audit``, ``refine`` and ``annotate`` over a whole data set: into a run folder that can be gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.common import CrowdsOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, one_line, print_object, reporting_errors, say, waiting, warn
from segagent.cli.models import (
    Choice,
    PolicyOption,
    PolicyWeightsOption,
    PresetOption,
    ToolOption,
    ToolWeightsOption,
    choose,
)
from segagent.cli.running import RunOptions, takes_run_options, tell_failures, tell_stopped, watching

if TYPE_CHECKING:
    from segagent.annotation.batch import RunConfig

SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE|DATASET",
        help="A picture file; or, without TEXT, a data set: a folder, COCO annotations, scheme:PATH.",
        show_default=False,
    ),
]
OptionalTextArgument = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="What to segment in the picture, in words.", show_default=False)
]
MaskOption = Annotated[
    Path | None, typer.Option("--mask", help="One picture: the mask, of its size; bright is object.")
]
ImagesOption = Annotated[
    Path | None, typer.Option("--images", help="Data set: the folder with the images of a .json file.")
]
RunOption = Annotated[Path, typer.Option("--out", "-o", help="The run folder; one that is there is gone on with.")]
MaxSecondsOption = Annotated[
    float | None, typer.Option("--max-seconds", help="Most seconds per object; checked between steps.")
]
MaxCallsOption = Annotated[
    int | None, typer.Option("--max-calls", min=1, help="Most states that the policy is asked about, per object.")
]
MaxMoneyOption = Annotated[
    float | None, typer.Option("--max-money", help="Most money per object; needs --price, and a policy that tells.")
]


@reporting_errors
@takes_run_options("shard", only="Data set: ")
def audit(
    source: SourceArgument,
    text: OptionalTextArgument = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Data set: the run folder; one that is there is gone on with.")
    ] = None,
    mask: MaskOption = None,
    images: ImagesOption = None,
    crowds: CrowdsOption = False,
    policy: PolicyOption = None,
    tool: ToolOption = None,
    preset: PresetOption = None,
    policy_weights: PolicyWeightsOption = None,
    tool_weights: ToolWeightsOption = None,
    run: RunOptions,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives all sampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object, no progress.")] = False,
) -> None:
    """Score a mask, or every mask of a data set, against its text, and say what is likely to be wrong with it."""
    from segagent.annotation.batch import RunConfig
    from segagent.core import InputError

    choice = choose(
        preset=preset, policy=policy, policy_weights=policy_weights, tool=tool, tool_weights=tool_weights,
        first_box=None, steps=None, candidates=None,
    )  # fmt: skip
    if text is not None:
        require_unset(images=images, price=run.price, out=out, **run.given())
        if mask is None:
            raise InputError("--mask is missing; give the mask to look at")
        _audit_one(Path(source), text, mask, choice, seed=seed, as_json=as_json)
        return
    require_text(source)
    require_unset(mask=mask)
    if out is None:
        raise InputError("--out is missing; give the run folder (-o RUN)")
    run_dataset(
        dataset_spec(source, images),
        out,
        choice,
        RunConfig("audit", choice.search, seed=seed),
        crowds=crowds,
        run=run,
        as_json=as_json,
    )


def _audit_one(image: Path, text: str, mask: Path, choice: Choice, *, seed: int, as_json: bool) -> None:
    from segagent.annotation.batch import likely_error, make_models
    from segagent.annotation.python_api import audit as audit_one

    with waiting("loading the models", quiet=as_json):
        models = make_models(choice.policy, choice.tool, "none")
    with waiting("looking", quiet=as_json):
        record = audit_one(image, text, mask, models=models, seed=seed)
    assert record.given_iou is not None
    calibrated = models.calibrated(record.given_iou)
    likely = likely_error(record, calibrated)
    if as_json:
        print_object(
            {
                "predicted_iou": record.given_iou,
                "calibrated_iou": calibrated,
                "likely_error": likely.label,
                "reason": likely.reason,
                "policy": models.policy.name,
                "doubts": list(record.doubts),
                "outline": None if record.outline is None else record.outline.to_dict(),
            }
        )
        return
    for doubt in record.doubts:
        warn(f"policy {models.policy.name!r} {doubt}")
    say(f"predicted IoU {record.given_iou:.2f}, calibrated {calibrated:.2f}; {likely.label}: {likely.reason}")


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


def require_use_of_price(price: str | None, max_money: float | None) -> None:
    """Raise ``InputError`` for the price of one picture that limits nothing."""
    from segagent.core import InputError

    if price is not None and max_money is None:
        raise InputError("--price: limits nothing by itself; give --max-money too, or leave it out")


def dataset_spec(dataset: str, images: Path | None) -> str:
    """The specification of a data set argument with its ``--images``. Raises ``InputError`` where they do not fit."""
    from segagent.core import InputError

    if images is None:
        return dataset
    if not Path(dataset).is_file() or not dataset.endswith(".json"):
        raise InputError(f"{dataset}: --images goes with a .json file; a folder or scheme:PATH knows its images")
    if not images.is_dir():
        raise InputError(f"{images}: no such folder; --images names the folder with the images")
    return f"coco:{dataset}:images={images}"


def prompts_spec(source: str, prompts: Path) -> str:
    """The specification of a folder of images with the sentences of a CSV or COCO file."""
    from segagent.core import InputError

    if not Path(source).is_dir():
        raise InputError(f"{source}: not a folder; with --prompts give the folder with the images")
    if not prompts.is_file():
        raise InputError(f"{prompts}: no such file; expected a CSV file with the columns image,text or COCO JSON")
    scheme = "coco" if prompts.suffix.lower() == ".json" else "prompts"
    return f"{scheme}:{prompts}:images={source}"


def run_dataset(
    spec: str, out: Path, choice: Choice, config: RunConfig, *, crowds: bool, run: RunOptions, as_json: bool
) -> None:
    """Do a job to a data set: progress, summary, exit code."""
    from functools import partial

    from segagent.annotation.batch import make_models, run_job
    from segagent.annotation.batch.summary import read_summary

    opened = open_data(spec, crowds=crowds)
    first_box = choice.first_box if config.job == "annotate" else "none"
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
