"""``segagent train-embedded``: the recipes of the embedded weights, as commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import counting, print_object, reporting_errors, say, stages
from segagent.cli.help import HelpfulCommand, HelpfulGroup, examples

train = typer.Typer(
    cls=HelpfulGroup,
    epilog=examples("segagent train-embedded tool -o runs/tool --minutes 45"),
    help="Train the embedded models from scratch; a training that was stopped goes on where it stopped.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OutOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for checkpoints, log and weights.")]
MinutesOption = Annotated[float, typer.Option("--minutes", min=0.01, help="Training time, over all resumptions.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Drives initialisation and data.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")]
DeviceOption = Annotated[str, typer.Option("--device", help="Where the networks are trained: cpu, cuda, cuda:1.")]
ResumeOption = Annotated[bool, typer.Option("--resume/--fresh", help="Go on from the checkpoint in OUT, if any.")]


@train.command(
    "tool",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train-embedded tool -o runs/tool --minutes 45",
        "segagent train-embedded tool -o runs/tool --minutes 95 --encoder lite0.pth --photographs coco_small",
    ),
)
@reporting_errors
def train_tool_command(
    *,
    out: OutOption,
    minutes: MinutesOption = 45.0,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Training steps, instead of minutes.")] = None,
    photographs: Annotated[
        list[Path] | None,
        typer.Option("--photographs", help="A COCO-format folder (repeatable); without any, generated scenes alone."),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="Published ImageNet weights of EfficientNet-Lite0 (.pth) to begin with."),
    ] = None,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes that simulate episodes, 16 each. [default: this one]")
    ] = 0,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Train the click-conditioned segmentation network."""
    from segagent.learning.tool.config import ToolTraining
    from segagent.learning.tool.train import train_tool

    config = ToolTraining(
        minutes=minutes,
        steps=steps,
        seed=seed,
        threads=threads,
        photographs=tuple(photographs or ()),
        encoder=encoder,
        device=device,
        workers=workers,
    )
    total = steps if steps is not None else round(60 * minutes)
    counted = "step" if steps is not None else "seconds"
    with counting("training the tool", total, unit=counted, quiet=as_json) as update:
        trained = train_tool(config, out, resume=resume, report=lambda line: update(line[counted], _measured(line)))
    if as_json:
        result = {"weights": str(trained.weights), "steps": trained.steps, "loss": trained.loss}
        print_object({**result, "seconds": round(trained.seconds, 1)})
    else:
        say(f"{trained.steps} steps in {trained.seconds:.0f} s, loss {trained.loss:.4f}: {trained.weights}")


@train.command(
    "policy",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train-embedded policy -o runs/policy --minutes 60",
        "segagent train-embedded policy -o runs/policy --minutes 90 --photographs coco_small",
    ),
)
@reporting_errors
def train_policy_command(
    *,
    out: OutOption,
    minutes: MinutesOption = 60.0,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Most training steps of each stage, besides the minutes.")
    ] = None,
    tool: Annotated[
        str, typer.Option("--tool", help="The tool whose masks the policy learns to correct.")
    ] = "embedded",
    photographs: Annotated[
        list[Path] | None,
        typer.Option("--photographs", help="A COCO-format folder (repeatable); without any, generated scenes alone."),
    ] = None,
    expressions: Annotated[
        Path | None,
        typer.Option("--expressions", help="A table (.tsv) of what people said of these photographs."),
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option("--encoder", help="What to see with: published weights (.pth) or another training's encoder."),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Weights (.safetensors) to go on from, instead of nothing.")
    ] = None,
    perception_only: Annotated[
        bool, typer.Option("--perception-only", help="Train what finds, names and grounds; keep the other heads.")
    ] = False,
    grounding_only: Annotated[
        bool, typer.Option("--grounding-only", help="Train what sentences mean alone, on the weights of --from.")
    ] = False,
    nouns_only: Annotated[
        bool,
        typer.Option("--nouns-only", help="Add ImageNet's nouns alone, of --encoder, to the weights of --from."),
    ] = False,
    prm_only: Annotated[
        bool, typer.Option("--prm-only", help="Train the process reward model alone, on the weights of --from.")
    ] = False,
    seed: SeedOption = 0,
    threads: ThreadsOption = 1,
    device: DeviceOption = "cpu",
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Train the vision-language policy and its predicted IoU, on generated scenes and, if given, photographs."""
    from segagent.core import InputError
    from segagent.learning.policy.config import PolicyTraining
    from segagent.learning.policy.recipe import train_policy

    if (perception_only or grounding_only) and start is None:
        raise InputError("--perception-only and --grounding-only keep parts of trained weights; say which with --from")
    if expressions is not None and not photographs:
        raise InputError("--expressions are about the photographs of a folder; give it with --photographs")
    others_only = perception_only or grounding_only or prm_only
    if nouns_only and (start is None or not photographs or encoder is None or others_only):
        raise InputError("--nouns-only needs --from, --photographs and published weights as --encoder, and goes alone")
    if prm_only and (start is None or not photographs or perception_only or grounding_only):
        raise InputError("--prm-only needs --from and --photographs, and goes with no other part alone")
    config = PolicyTraining(
        minutes=minutes,
        steps=steps,
        seed=seed,
        threads=threads,
        device=device,
        tool=tool,
        photographs=tuple(photographs or ()),
        expressions=expressions,
        encoder=encoder,
        start=start,
        perception_only=perception_only or grounding_only,
        grounding_only=grounding_only,
        nouns_only=nouns_only,
        prm_only=prm_only,
    )
    with stages(quiet=as_json) as report:
        trained = train_policy(config, out, resume=resume, report=report)
    if as_json:
        result = {"weights": str(trained.weights), "measured": trained.measured}
        print_object({**result, "seconds": round(trained.seconds, 1)})
    else:
        say(f"trained in {trained.seconds:.0f} s: {trained.weights}")
        for name, value in trained.measured.items():
            say(f"  {name} {value:.3f} (held out)")


@train.command(
    "pack", cls=HelpfulCommand, epilog=examples("segagent train-embedded pack coco_small voc_animals -o packed")
)
@reporting_errors
def pack_command(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="COCO-format: instances.json and images/.", show_default=False),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new or empty folder.")],
    side: Annotated[int, typer.Option("--side", min=32, help="The longer side of pictures, at most.")] = 288,
    quality: Annotated[int, typer.Option("--quality", min=1, max=100, help="Of the WebP pictures.")] = 60,
    as_json: JsonOption = False,
) -> None:
    """Write training photographs small enough to travel to a borrowed machine, each folder in the same format."""
    from segagent.imaging import whole_folder
    from segagent.learning.photographs.packing import pack_photographs

    with counting("packing", None, unit="photographs", quiet=as_json) as update, whole_folder(out) as part:
        sizes = pack_photographs(part, folders, side=side, quality=quality, progress=lambda done: update(done, ""))
    if as_json:
        print_object({"folder": str(out), "bytes": sizes})
    else:
        for name, size in sizes.items():
            say(f"  {name} {size / 2**20:.1f} MiB")
        say(f"{sum(sizes.values()) / 2**20:.1f} MiB in all: {out}")


def _measured(line: dict[str, float]) -> str:
    """The measured values of a log line, in short."""
    left_out = {"step", "seconds", "side"}
    return "  ".join(f"{name} {value:.3f}" for name, value in line.items() if name not in left_out)
