"""``segagent annotate`` and ``refine``: for one image and one sentence, or a whole data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import DATA_SET, CrowdsOption, GuidelinesOption, JsonOption, OnlyOption, SeedOption
from segagent.cli.console import reporting_errors
from segagent.cli.models import ModelOptions
from segagent.cli.options import takes
from segagent.cli.picture import require_use_of_price, work_on_picture
from segagent.cli.running import RunOptions
from segagent.cli.runs import (
    ImagesOption,
    OptionalTextArgument,
    SourceArgument,
    open_given,
    require_text,
    require_unset,
    run_dataset,
)

OutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="One picture: the folder for mask.png, overlay.png, steps.png, trajectory.json. "
        "Data set: the run folder; an existing one is resumed.",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        "--seed-mask",
        "--mask",
        help="Start from this mask, by whatever model: bright is object, of the image's size.",
        rich_help_panel="One picture",
    ),
]


@reporting_errors
@takes(ModelOptions)
@takes(RunOptions, "shard", panel=DATA_SET)
def annotate(
    source: SourceArgument,
    text: OptionalTextArgument = None,
    *,
    out: OutOption,
    models: ModelOptions,
    mask: MaskOption = None,
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar="X0,Y0,X1,Y1",
            help="Start from a box in pixels, X1 and Y1 exclusive.",
            rich_help_panel="One picture",
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            help="A CSV file with image,text or COCO JSON, for a folder of images.",
            rich_help_panel=DATA_SET,
        ),
    ] = None,
    crowds: CrowdsOption = False,
    found: Annotated[
        float | None,
        typer.Option(
            "--found",
            help="A calibrated predicted IoU below this means 'not found'. [default: 0.3]",
            rich_help_panel=DATA_SET,
        ),
    ] = None,
    only: OnlyOption = None,
    guidelines: GuidelinesOption = None,
    run: RunOptions,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Segment what TEXT says in IMAGE, or what each sentence of a data set says in its image."""
    choice = models.choose(run.price)
    if text is not None:
        require_unset(
            crowds=crowds, prompts=prompts, found=found, only=only or None, guidelines=guidelines, **run.given(),
        )  # fmt: skip
        require_use_of_price(run.price, models.max_money)
        work_on_picture(Path(source), text, out, choice, mask=mask, box=box, seed=seed, as_json=as_json)
        return
    from segagent.annotation.batch import RunConfig

    require_text(source)
    require_unset(seed_mask=mask, box=box)
    config = RunConfig("annotate", choice.search, seed=seed).with_given(found=found)
    opened = open_given(source, prompts=prompts, crowds=crowds)
    run_dataset(opened, out, choice, config, only=only, guidelines=guidelines, run=run, as_json=as_json)


@reporting_errors
@takes(ModelOptions, "first_box")
@takes(RunOptions, "shard", panel=DATA_SET)
def refine(
    source: SourceArgument,
    text: OptionalTextArgument = None,
    *,
    mask: MaskOption = None,
    out: OutOption,
    models: ModelOptions,
    images: ImagesOption = None,
    crowds: CrowdsOption = False,
    below: Annotated[
        float | None,
        typer.Option(
            "--below",
            help="Masks whose calibrated predicted IoU is at least this stay. [default: 0.85]",
            rich_help_panel=DATA_SET,
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            help="Replace a mask if its predicted IoU rises by more than this. [default: 0.2]",
            rich_help_panel=DATA_SET,
        ),
    ] = None,
    sure: Annotated[
        float | None,
        typer.Option(
            "--sure",
            help="And only by one whose calibrated predicted IoU is at least this. [default: 0.9]",
            rich_help_panel=DATA_SET,
        ),
    ] = None,
    only: OnlyOption = None,
    guidelines: GuidelinesOption = None,
    run: RunOptions,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Improve a given mask, or those of a data set; never by one that the policy scores worse than the given one."""
    choice = models.choose(run.price)
    if text is not None:
        require_unset(
            images=images, crowds=crowds, below=below, margin=margin, sure=sure, only=only or None,
            guidelines=guidelines, **run.given(),
        )  # fmt: skip
        require_use_of_price(run.price, models.max_money)
        if mask is None:
            from segagent.core import InputError

            raise InputError("--mask is missing; give the mask to improve")
        work_on_picture(Path(source), text, out, choice, mask=mask, seed=seed, as_json=as_json, refining=True)
        return
    from segagent.annotation.batch import RunConfig

    require_text(source)
    require_unset(mask=mask)
    config = RunConfig("refine", choice.search, seed=seed).with_given(below=below, margin=margin, sure=sure)
    opened = open_given(source, images=images, crowds=crowds)
    run_dataset(opened, out, choice, config, only=only, guidelines=guidelines, run=run, as_json=as_json)
