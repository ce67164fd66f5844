"""``segagent audit`` and ``score``: what given masks are worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import DATA_SET, CrowdsOption, GuidelinesOption, JsonOption, OnlyOption, SeedOption
from segagent.cli.console import print_object, reporting_errors, say, waiting, warn
from segagent.cli.models import Choice, ModelOptions
from segagent.cli.options import takes
from segagent.cli.picture import warnings_about
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


@reporting_errors
@takes(ModelOptions, "first_box", "steps", "candidates", "max_seconds", "max_calls", "max_money", panel="Models")
@takes(RunOptions, "shard", panel=DATA_SET)
def audit(
    source: SourceArgument,
    text: OptionalTextArgument = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run folder; an existing one is resumed.", rich_help_panel=DATA_SET),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option("--mask", help="The mask, of its size; bright is object.", rich_help_panel="One picture"),
    ] = None,
    images: ImagesOption = None,
    crowds: CrowdsOption = False,
    tool_opinion: Annotated[
        bool,
        typer.Option(
            "--tool-opinion",
            help="Where POLICY cannot judge outlines, the tool draws each mask anew; one call more per object.",
            rich_help_panel=DATA_SET,
        ),
    ] = False,
    models: ModelOptions,
    only: OnlyOption = None,
    guidelines: GuidelinesOption = None,
    run: RunOptions,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score a mask, or every mask of a data set, against its text, and say what is likely to be wrong with it."""
    from segagent.annotation.batch import RunConfig
    from segagent.core import InputError

    choice = models.choose()
    if text is not None:
        require_unset(
            images=images, price=run.price, out=out, only=only or None, guidelines=guidelines,
            tool_opinion=tool_opinion or None, **run.given(),
        )  # fmt: skip
        if mask is None:
            raise InputError("--mask is missing; give the mask to look at")
        _audit_picture(Path(source), text, mask, choice, seed=seed, as_json=as_json)
        return
    require_text(source)
    require_unset(mask=mask)
    if out is None:
        raise InputError("--out is missing; give the run folder (-o RUN)")
    opened = open_given(source, images=images, crowds=crowds)
    config = RunConfig("audit", choice.search, seed=seed, tool_opinion=tool_opinion)
    run_dataset(opened, out, choice, config, only=only, guidelines=guidelines, run=run, as_json=as_json)


def _audit_picture(image: Path, text: str, mask: Path, choice: Choice, *, seed: int, as_json: bool) -> None:
    from segagent.annotation.batch import likely_error, make_models
    from segagent.annotation.python_api import audit as audit_one

    choice.fetch()
    with waiting("loading the models", quiet=as_json):
        models = make_models(choice.policy, choice.tool, "none")
    with waiting("looking", quiet=as_json):
        record = audit_one(image, text, mask, models=models, seed=seed)
    assert record.given_iou is not None
    calibrated = models.calibrated(record.given_iou, record.doubts)
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


@reporting_errors
def score(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.", show_default=False)],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to segment, in words.", show_default=False)],
    *,
    mask: Annotated[
        Path, typer.Option("--mask", "--seed-mask", help="The mask: bright is object, of exactly the image's size.")
    ],
    policy: Annotated[
        str, typer.Option("--policy", help="Who scores: embedded, hf:DIR, openai:MODEL@URL.")
    ] = "embedded",
    as_json: JsonOption = False,
) -> None:
    """Tell how well a mask fits TEXT: the IoU with the right answer that the policy predicts."""
    from segagent.annotation import checked_text, score_mask
    from segagent.evaluation.calibration import load_calibration
    from segagent.imaging import load_image, load_mask
    from segagent.policies import make_policy, with_known_format
    from segagent.policies.mending import outline_judge

    text = checked_text(text)
    picture = load_image(image)
    given = load_mask(mask, picture.height, picture.width)
    with waiting("looking", quiet=as_json):
        annotator = with_known_format(make_policy(policy))
        predicted = score_mask(picture, text, given, annotator)
        judge = outline_judge(annotator)
        judged = None if judge is None else judge.judge_outline(picture, given)
    calibration = load_calibration(policy)
    warnings = warnings_about(annotator, picture, text)
    calibrated = None if calibration is None else calibration(predicted, bool(warnings))
    if as_json:
        print_object(
            {
                "predicted_iou": predicted,
                "calibrated_iou": calibrated,
                "outline_iou": None if judged is None else judged.iou,
                "policy": annotator.name,
                "warnings": warnings,
            }
        )
    else:
        words = f"predicted IoU {predicted:.2f}" + ("" if calibrated is None else f", calibrated {calibrated:.2f}")
        say(words + ("" if judged is None else f"; {judged.iou:.2f} as an outline of whatever it is on"))
