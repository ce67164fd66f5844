"""``segagent annotate``, ``refine`` and ``score``: one image, one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import CrowdsOption, GuidelinesOption, OnlyOption
from segagent.cli.console import print_object, reporting_errors, say, waiting, warn
from segagent.cli.models import (
    CandidatesOption,
    Choice,
    FirstBoxOption,
    PolicyOption,
    PolicyWeightsOption,
    PresetOption,
    StepsOption,
    ToolOption,
    ToolWeightsOption,
    choose,
)
from segagent.cli.running import RunOptions, takes_run_options
from segagent.cli.runs import (
    ImagesOption,
    MaxCallsOption,
    MaxMoneyOption,
    MaxSecondsOption,
    OptionalTextArgument,
    SourceArgument,
    dataset_spec,
    prompts_spec,
    require_text,
    require_unset,
    require_use_of_price,
    run_dataset,
)

if TYPE_CHECKING:
    from segagent.core import Box, Image, Policy, Prompt, Trajectory
    from segagent.environment import StartSpec

ImageArgument = Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture file.", show_default=False)]
TextArgument = Annotated[str, typer.Argument(metavar="TEXT", help="What to segment, in words.", show_default=False)]
OutOption = Annotated[
    Path,
    typer.Option(
        "--out",
        "-o",
        help="One picture: the folder for mask.png, overlay.png, steps.png, trajectory.json. "
        "Data set: the run folder; one that is there is gone on with.",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        "--seed-mask", "--mask", help="Start from this mask, by whatever model: bright is object, of the image's size."
    ),
]
NeededMaskOption = Annotated[
    Path, typer.Option("--mask", "--seed-mask", help="The mask: bright is object, of exactly the image's size.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Drives all sampling.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a summary.")]


@reporting_errors
@takes_run_options("shard", only="Data set: ")
def annotate(
    source: SourceArgument,
    text: OptionalTextArgument = None,
    *,
    out: OutOption,
    policy: PolicyOption = None,
    tool: ToolOption = None,
    preset: PresetOption = None,
    policy_weights: PolicyWeightsOption = None,
    tool_weights: ToolWeightsOption = None,
    steps: StepsOption = None,
    candidates: CandidatesOption = None,
    first_box: FirstBoxOption = None,
    mask: MaskOption = None,
    box: Annotated[
        str | None,
        typer.Option("--box", metavar="X0,Y0,X1,Y1", help="Start from a box in pixels, X1 and Y1 exclusive."),
    ] = None,
    max_seconds: MaxSecondsOption = None,
    max_calls: MaxCallsOption = None,
    max_money: MaxMoneyOption = None,
    prompts: Annotated[
        Path | None,
        typer.Option("--prompts", help="Data set: a CSV file with image,text or COCO JSON, for a folder of images."),
    ] = None,
    crowds: CrowdsOption = False,
    found: Annotated[
        float | None,
        typer.Option(
            "--found", help="Data set: a calibrated predicted IoU below this means 'not found'. [default: 0.3]"
        ),
    ] = None,
    only: OnlyOption = None,
    guidelines: GuidelinesOption = None,
    run: RunOptions,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Segment what TEXT says in IMAGE, or what each sentence of a data set says in its image."""
    choice = choose(
        preset=preset, policy=policy, policy_weights=policy_weights, tool=tool, tool_weights=tool_weights,
        first_box=first_box, steps=steps, candidates=candidates, max_seconds=max_seconds, max_calls=max_calls,
        max_money=max_money, price=run.price,
    )  # fmt: skip
    if text is not None:
        require_unset(
            crowds=crowds, prompts=prompts, found=found, only=only or None, guidelines=guidelines, **run.given(),
        )  # fmt: skip
        require_use_of_price(run.price, max_money)
        _episode(Path(source), text, out, choice, mask=mask, box=box, seed=seed, as_json=as_json)
        return
    from segagent.annotation.batch import RunConfig

    require_text(source)
    require_unset(seed_mask=mask, box=box)
    run_dataset(
        source if prompts is None else prompts_spec(source, prompts),
        out,
        choice,
        RunConfig("annotate", choice.search, seed=seed).with_given(found=found),
        crowds=crowds,
        only=only,
        guidelines=guidelines,
        run=run,
        as_json=as_json,
    )


@reporting_errors
@takes_run_options("shard", only="Data set: ")
def refine(
    source: SourceArgument,
    text: OptionalTextArgument = None,
    *,
    mask: MaskOption = None,
    out: OutOption,
    policy: PolicyOption = None,
    tool: ToolOption = None,
    preset: PresetOption = None,
    policy_weights: PolicyWeightsOption = None,
    tool_weights: ToolWeightsOption = None,
    steps: StepsOption = None,
    candidates: CandidatesOption = None,
    max_seconds: MaxSecondsOption = None,
    max_calls: MaxCallsOption = None,
    max_money: MaxMoneyOption = None,
    images: ImagesOption = None,
    crowds: CrowdsOption = False,
    below: Annotated[
        float | None,
        typer.Option(
            "--below", help="Data set: masks whose calibrated predicted IoU is at least this stay. [default: 0.85]"
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin", help="Data set: replace a mask if its predicted IoU rises by more than this. [default: 0.2]"
        ),
    ] = None,
    sure: Annotated[
        float | None,
        typer.Option(
            "--sure", help="Data set: and only by one whose calibrated predicted IoU is at least this. [default: 0.9]"
        ),
    ] = None,
    only: OnlyOption = None,
    guidelines: GuidelinesOption = None,
    run: RunOptions,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Improve a given mask, or those of a data set; never by one that the policy scores worse than the given one."""
    choice = choose(
        preset=preset, policy=policy, policy_weights=policy_weights, tool=tool, tool_weights=tool_weights,
        first_box=None, steps=steps, candidates=candidates, max_seconds=max_seconds, max_calls=max_calls,
        max_money=max_money, price=run.price,
    )  # fmt: skip
    if text is not None:
        require_unset(
            images=images, crowds=crowds, below=below, margin=margin, sure=sure, only=only or None,
            guidelines=guidelines, **run.given(),
        )  # fmt: skip
        require_use_of_price(run.price, max_money)
        if mask is None:
            from segagent.core import InputError

            raise InputError("--mask is missing; give the mask to improve")
        _episode(Path(source), text, out, choice, mask=mask, seed=seed, as_json=as_json, refining=True)
        return
    from segagent.annotation.batch import RunConfig

    require_text(source)
    require_unset(mask=mask)
    run_dataset(
        dataset_spec(source, images),
        out,
        choice,
        RunConfig("refine", choice.search, seed=seed).with_given(below=below, margin=margin, sure=sure),
        crowds=crowds,
        only=only,
        guidelines=guidelines,
        run=run,
        as_json=as_json,
    )


@reporting_errors
def score(
    image: ImageArgument,
    text: TextArgument,
    *,
    mask: NeededMaskOption,
    policy: PolicyOption = None,
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
        annotator = with_known_format(make_policy(policy or "embedded"))
        predicted = score_mask(picture, text, given, annotator)
        judge = outline_judge(annotator)
        judged = None if judge is None else judge.judge_outline(picture, given)
    calibration = load_calibration(policy or "embedded")
    calibrated = None if calibration is None else calibration(predicted)
    warnings = _warnings(annotator, picture, text)
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


def _episode(
    image_path: Path,
    text: str,
    out: Path,
    choice: Choice,
    *,
    mask: Path | None,
    box: str | None = None,
    seed: int,
    as_json: bool,
    refining: bool = False,
) -> None:
    """The common part: cheap checks first, then models, then work; the folder is written last."""
    from segagent.annotation import (
        annotate_image,
        box_start,
        checked_text,
        mask_start,
        refine_image,
        require_folder_or_nothing,
        result_dict,
        write_result,
    )
    from segagent.core import InputError
    from segagent.imaging import load_image, load_mask

    text = checked_text(text)
    if mask is not None and box is not None:
        raise InputError("--seed-mask and --box cannot be used together; give the one to start from")
    if choice.box_asked and (mask is not None or box is not None):
        raise InputError("--first-box asks for a box where nothing is given; leave it or --seed-mask and --box out")
    corners = None if box is None else parse_box(box)
    require_folder_or_nothing(out)
    picture = load_image(image_path)
    start: StartSpec | None = None
    given = None if mask is None else load_mask(mask, picture.height, picture.width)
    if given is not None:
        start = mask_start(given, picture)
    with waiting("loading the models", quiet=as_json):
        segmenter = choice.make_tool()
        if corners is not None:
            start = box_start(corners, picture, segmenter)
        annotator = choice.make_policy(started=start is not None)
    warnings = _warnings(annotator, picture, text)
    with waiting("clicking", quiet=as_json):
        if refining and given is not None:
            trajectory = refine_image(
                picture, text, annotator, segmenter, choice.search, mask=given, seed=seed, image_name=str(image_path)
            )
        else:
            trajectory = annotate_image(
                picture, text, annotator, segmenter, choice.search, start=start, seed=seed, image_name=str(image_path)
            )
        write_result(out, picture, trajectory)
    if not trajectory.mask_at(trajectory.returned).any():
        warnings.append("nothing was found: the mask is empty")
        warn(warnings[-1])
    if as_json:
        print_object(result_dict(trajectory, out, warnings))
    else:
        summarise(trajectory, out)


def summarise(trajectory: Trajectory, out: Path) -> None:
    """A few lines for a person: the result, the clicks, where the pictures are."""
    from segagent.imaging import STOP_REASONS

    predicted = trajectory.predicted_iou_at(trajectory.returned)
    score_words = "the policy predicts no IoU" if predicted is None else f"predicted IoU {predicted:.2f}"
    num_steps = len(trajectory.steps)
    reason = STOP_REASONS.get(trajectory.stopped, trajectory.stopped)
    clicks = "  ".join(_prompt_words(prompt) for prompt in trajectory.prompts_at(trajectory.returned))
    area = trajectory.mask_at(trajectory.returned).mean()
    which = "the start" if trajectory.returned == 0 else f"the one after step {trajectory.returned} of {num_steps}"
    say(f'"{trajectory.text}"')
    say(f"  {score_words}; the mask is {which} and covers {area:.1%} of the image")
    say(f"  stopped because {reason} ({trajectory.stopped}); {trajectory.seconds:.1f} s")
    say(f"  clicks: {clicks or 'none'}")
    if (usage := trajectory.usage) is not None:
        cached = f", {usage.cached} replies from the cache" if usage.cached else ""
        say(
            f"  policy: {usage.calls} calls{cached}; {usage.prompt_tokens} tokens read, {usage.completion_tokens} "
            f"written; {usage.seconds:.1f} s"
        )
        if usage.not_greedy:
            say(f"  {usage.not_greedy} replies were sampled, for the policy's server takes no temperature")
    if trajectory.num_invalid:
        say(f"  {trajectory.num_invalid} replies of the policy were not valid actions; see the film strip")
    say(f"  film strip  {out / 'steps.png'}")
    say(f"  overlay     {out / 'overlay.png'}")
    say(f"  mask        {out / 'mask.png'} ({trajectory.width} x {trajectory.height}, 255 object, 0 rest)")
    say(f"  record      {out / 'trajectory.json'}")


def _prompt_words(prompt: Prompt) -> str:
    """``+(40, 30)`` for a click, ``box 40,30,300,280`` for a box."""
    from segagent.core import Click

    if isinstance(prompt, Click):
        return f"{'+' if prompt.positive else '-'}({prompt.x}, {prompt.y})"
    return f"box {prompt.x0},{prompt.y0},{prompt.x1},{prompt.y1}"


def parse_box(value: str) -> Box:
    """``X0,Y0,X1,Y1`` as a box. Raises ``InputError`` if it is not four whole numbers."""
    from segagent.core import Box, InputError

    try:
        x0, y0, x1, y1 = (int(part) for part in value.split(","))
    except ValueError as error:
        raise InputError(
            f"--box {value!r:.100}: expected four whole numbers X0,Y0,X1,Y1 in pixels, for example 40,30,300,280"
        ) from error
    return Box(x0, y0, x1, y1)


def _warnings(policy: Policy, picture: Image, text: str) -> list[str]:
    """What the user should know before relying on the policy here; also written to stderr."""
    from segagent.annotation import doubts, unknown_words

    messages = []
    if words := unknown_words(policy, text):
        listed = ", ".join(repr(word) for word in words)
        messages.append(f"policy {policy.name!r} does not know {listed}; the rest of the text is all it goes by")
    messages += [f"policy {policy.name!r} {doubt}" for doubt in doubts(policy, picture, text)]
    if messages and policy.name == "embedded":
        messages.append(
            "this is outside what the small embedded policy has learnt, so expect a wrong object or a wrong score; "
            "a multimodal model can be used instead: --policy hf:DIR or --policy openai:MODEL@URL"
        )
    for message in messages:
        warn(message)
    return messages
