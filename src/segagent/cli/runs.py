"""``segagent audit``, ``refine`` and ``annotate`` over a whole data set: into a run folder that can be gone on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segagent.cli.common import CrowdsOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, counting_parts, print_object, reporting_errors, say, waiting, warn
from segagent.cli.models import (
    Choice,
    PolicyOption,
    PolicyWeightsOption,
    PresetOption,
    ToolOption,
    ToolWeightsOption,
    choose,
    parse_prices,
)

if TYPE_CHECKING:
    from segagent.annotation.batch import Budget, Progress, RunConfig

_MAX_LISTED = 20

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
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        help="Data set: processes, each with its own models. [default: cores]. "
        "Left out, an openai: policy is asked about many images at once from one process.",
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS|local", help="Data set: work on a Ray cluster; needs the extra 'ray'."),
]
RetryOption = Annotated[
    bool, typer.Option("--retry-failed", help="Data set: try again the objects that failed in earlier sessions.")
]
MaxSecondsOption = Annotated[
    float | None, typer.Option("--max-seconds", help="Most seconds per object; checked between steps.")
]
MaxCallsOption = Annotated[
    int | None, typer.Option("--max-calls", min=1, help="Most states that the policy is asked about, per object.")
]
MaxMoneyOption = Annotated[
    float | None, typer.Option("--max-money", help="Most money per object; needs --price, and a policy that tells.")
]
BudgetSecondsOption = Annotated[
    float | None, typer.Option("--budget-seconds", help="Data set: most seconds of computing for the run.")
]
BudgetCallsOption = Annotated[
    int | None, typer.Option("--budget-calls", min=1, help="Data set: most states asked about for the run.")
]
BudgetMoneyOption = Annotated[float | None, typer.Option("--budget-money", help="Data set: most money for the run.")]
PriceOption = Annotated[
    str | None,
    typer.Option(
        "--price",
        metavar="IN,OUT[,CACHED]",
        help="Of a million tokens read and written, for --max-money, --budget-money, where the server tells no cost.",
    ),
]


@reporting_errors
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
    workers: WorkersOption = None,
    ray: RayOption = None,
    retry_failed: RetryOption = False,
    budget_seconds: BudgetSecondsOption = None,
    budget_calls: BudgetCallsOption = None,
    budget_money: BudgetMoneyOption = None,
    price: PriceOption = None,
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
        require_unset(
            images=images, workers=workers, ray=ray, retry_failed=retry_failed, price=price, out=out,
            budget_seconds=budget_seconds, budget_calls=budget_calls, budget_money=budget_money,
        )  # fmt: skip
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
        workers=workers,
        ray=ray,
        retry_failed=retry_failed,
        budget=parse_budget(budget_seconds, budget_calls, budget_money, price),
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


def parse_budget(seconds: float | None, calls: int | None, money: float | None, price: str | None) -> Budget:
    """The budget of a run. Raises ``InputError`` for prices that are not two numbers."""
    from segagent.annotation.batch import Budget

    return Budget(seconds, calls, money, parse_prices(price))


def run_dataset(
    spec: str,
    out: Path,
    choice: Choice,
    config: RunConfig,
    *,
    crowds: bool,
    workers: int | None,
    ray: str | None,
    retry_failed: bool,
    budget: Budget,
    as_json: bool,
) -> None:
    """Do a job to a data set: progress, summary, exit code."""
    import json
    from functools import partial

    from segagent.annotation.batch import make_models, open_run, run_job, summarise_run
    from segagent.annotation.batch.summary import SUMMARY_FILE
    from segagent.core import SegAgentError
    from segagent.distributed import available_cores
    from segagent.distributed.ray_workers import ray_workers
    from segagent.imaging.writing import write_bytes

    opened = open_data(spec, crowds=crowds)
    first_box = choice.first_box if config.job == "annotate" else "none"
    config = replace(config, search=choice.search)
    begun = False
    with counting_parts(config.job, opened.num_images, unit="images", part="objects", quiet=as_json) as update:

        def watch(progress: Progress) -> None:
            nonlocal begun
            begun = True
            update(min(progress.num_images, opened.num_images), progress.num_objects, _note(progress))

        try:
            progress = run_job(
                opened,
                partial(make_models, choice.policy, choice.tool, first_box),
                out,
                config,
                workers=None
                if workers is None and choice.waits
                else min(workers or available_cores(), max(opened.num_images, 1)),
                open_workers=None if ray is None else partial(ray_workers, address=ray, workers=workers),
                budget=budget,
                retry_failed=retry_failed,
                notes={"policy": choice.policy, "tool": choice.tool},
                watch=watch,
            )
        except (KeyboardInterrupt, SegAgentError):
            if begun:
                warn(f"what is done so far is in {out}; give the same command again to go on")
            raise
    summary = summarise_run(open_run(out))
    summary["stopped"] = progress.stopped
    write_bytes(out / SUMMARY_FILE, json.dumps(summary, indent=1).encode("ascii") + b"\n")
    if as_json:
        print_object(summary)
    else:
        tell_summary(summary)
    if progress.failures or progress.stopped:
        raise typer.Exit(EXIT_SOME_FAILED)


def _note(progress: Progress) -> str:
    parts = [f"{count} {name.replace('_', ' ')}" for name, count in sorted(progress.outcomes.items())]
    return ", ".join([*parts, *([f"{len(progress.failures)} failed"] if progress.failures else [])])


def tell_summary(summary: dict[str, Any]) -> None:
    """Say what a summary holds: on stdout what goes before all figures, then the figures; on stderr the failures."""
    job = summary["job"]
    for failure in summary["failed"][:_MAX_LISTED]:
        warn(f"object {failure['object_id']} failed: {failure['reason']}")
    if len(summary["failed"]) > _MAX_LISTED:
        warn(f"and {len(summary['failed']) - _MAX_LISTED} more failed objects; summary.json lists all")
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
    if summary.get("stopped"):
        warn(f"{summary['stopped']}; give a larger budget to the same command to go on")
    say(f"run: {summary['run']}; next: segagent review {summary['run']}")


def tell_counts(summary: dict[str, Any]) -> None:
    """Say what goes before all figures, a line each, and then how many objects there are of each outcome."""
    for line in summary["warnings"]:
        say(line)
    counts = [f"{count} {name.replace('_', ' ')}" for name, count in summary["outcomes"].items()]
    doubts = f"; the policy doubts {summary['doubted']}" if summary["doubted"] else ""
    counted = f"{', '.join(counts) or 'none done'}, {len(summary['failed'])} failed{doubts}"
    say(f"{summary['job']}: {summary['objects']} objects: {counted}")
