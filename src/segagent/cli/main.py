"""The ``segagent`` command. Commands import what they need when they run, so that ``--help`` is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, cast

import typer

from segagent.cli.annotate import annotate, refine
from segagent.cli.audit import audit, score
from segagent.cli.benchmark import benchmark, leaderboard
from segagent.cli.calibrate import calibrate
from segagent.cli.console import EXIT_BAD_INPUT, EXIT_INTERRUPTED, complain
from segagent.cli.corrupt import corrupt
from segagent.cli.demo import demo
from segagent.cli.diff import diff
from segagent.cli.doctor import doctor
from segagent.cli.evaluate import evaluate
from segagent.cli.exchange import export, import_
from segagent.cli.export_examples import export_examples
from segagent.cli.help import HelpfulCommand, HelpfulGroup, examples
from segagent.cli.learn import learn
from segagent.cli.mcp import mcp
from segagent.cli.presets import presets
from segagent.cli.report import report
from segagent.cli.reproduce import reproduce
from segagent.cli.review import review
from segagent.cli.rollouts import rollouts
from segagent.cli.scenes import scenes
from segagent.cli.sentences import sentences
from segagent.cli.serve import serve, serve_policy
from segagent.cli.summary import check, summary
from segagent.cli.team import agreement, merge, notes, split
from segagent.cli.train import train
from segagent.cli.trajectories import trajectories

app = typer.Typer(
    name="segagent",
    cls=HelpfulGroup,
    help="Text to mask: a vision-language policy clicks, an interactive segmentation tool makes masks, "
    "and the policy's predicted IoU decides.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "segagent demo -o demo",
        'segagent annotate photo.jpg "the striped mug left of the book" -o out',
        "segagent scenes scenes --num 200 --seed 1 --split test",
    )
    + "\n\nExit codes: 0 done, 1 some samples failed, 2 bad input or usage, 130 interrupted.",
)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        from segagent.core.versions import __version__

        typer.echo(f"segagent {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


def _add(part: str, command: Callable[..., None], short: str, *commands: str, name: str | None = None) -> None:
    """Add a command: the part of the list it stands in, what it does in a line, and examples."""
    app.command(name, cls=HelpfulCommand, rich_help_panel=part, short_help=short, epilog=examples(*commands))(command)


_add(
    "Annotate",
    annotate,
    "Masks from sentences: for a picture or a data set.",
    'segagent annotate photo.jpg "the striped mug left of the book" -o out',
    'segagent annotate photo.jpg "the dog" -o out --candidates 4 --steps 10',
    'segagent annotate photo.jpg "the dog" -o out --tool grabcut --box 40,30,300,280 --json',
    'segagent annotate photo.jpg "the dog" -o out --preset box+sam --policy-weights DIR --tool-weights DIR',
    "segagent annotate images --prompts prompts.csv -o run",
)
_add(
    "Annotate",
    refine,
    "Improve given masks, or return them as they are.",
    'segagent refine photo.jpg "the dog" --mask rough.png -o out',
    "segagent refine coco.json --images images -o run --below 0.85",
    "segagent refine coco.json -o again --only id=@todo/worklist.json",
)
_add("Annotate", demo, "Run the main job on four pictures.", "segagent demo -o demo")
_add(
    "Annotate",
    presets,
    "Models by one word: what fits this machine?",
    "segagent presets",
    "segagent presets segagent-qwen+sam",
)
_add(
    "Look and correct",
    audit,
    "Which masks of a data set are wrong?",
    "segagent audit coco.json --images images -o run",
    "segagent audit scenes:20 -o run --json",
    "segagent audit coco.json -o dogs --only category=dog --only 'image=day1/*' --guidelines rules.txt",
    'segagent audit photo.jpg "the dog" --mask dog.png',
)
_add(
    "Look and correct",
    score,
    "Tell how well a mask fits TEXT.",
    'segagent score photo.jpg "the dog" --mask dog.png --json',
)
_add(
    "Look and correct",
    review,
    "A run as a ranked work list with pictures.",
    "segagent review run",
    "segagent review run --accept 0.95 --sample 50 -o page",
    "segagent review run --only doubtful -o todo",
    "segagent review run --serve --by Ann --guidelines rules.txt",
)
_add(
    "Look and correct",
    summary,
    "Which masks of a run can be accepted?",
    "segagent summary run",
    "segagent summary run --accept 0.95 --accept-iou 0.9",
    "segagent summary run --accept 0.95 --calibrate check/checked.json --json",
)
_add(
    "Look and correct",
    check,
    "Draw masks of a run for you to check.",
    "segagent check run -o check --num 50",
    "segagent check run --serve --by Ann",
)
_add(
    "Look and correct",
    diff,
    "What changed between two states of annotations?",
    "segagent diff before.json after.json --images images -o diff",
    "segagent diff before.json run -o diff",
)
_add(
    "Look and correct",
    export,
    "Write a run's masks for other programs.",
    "segagent export run --to coco -o out.json",
    "segagent export run --to coco -o dogs.json --only category=dog",
    "segagent export run --to label-studio -o tasks.json --accept 0.9 --image-prefix 'http://host/images/'",
)
_add(
    "Look and correct",
    import_,
    "Take people's corrections into a run.",
    "segagent import tasks.json --run run --by Ann",
    "segagent import tasks.json --run run -o corrected",
    name="import",
)
_add(
    "Work together",
    split,
    "Deal a run's objects out to several people.",
    "segagent split run --people 3 --overlap 0.1",
    "segagent split run --people Ann,Ben --only doubtful -o doubts.json",
    "segagent review run --serve --assign run/assignments.json --by Ann",
)
_add(
    "Work together",
    agreement,
    "How far do people agree on a run's objects?",
    "segagent agreement run",
    "segagent agreement run --only category=dog --json",
)
_add(
    "Work together",
    notes,
    "What people noted about a run's objects.",
    "segagent notes run",
    'segagent notes run --search "hidden leg"',
)
_add(
    "Work together",
    merge,
    "Join runs of several batches to one.",
    "segagent merge monday tuesday -o week",
    "segagent merge cats dogs again -o all --keep last",
)
_add(
    "Measure",
    evaluate,
    "Measure a policy or a tool on a data set.",
    "segagent evaluate scenes:100:split=val,sentences=2 --policy embedded -o out",
    "segagent evaluate coco_small --protocol noc --tool grabcut --max-clicks 20 -o clicks",
    "segagent evaluate scenes:100:split=val --protocol filter --draws 3 -o filter",
    "segagent evaluate coco_small --shard 1/4 -o part1",
)
_add(
    "Measure",
    report,
    "Tables, plots and pictures of evaluations.",
    "segagent report out clicks -o report",
    "segagent report part1 part2 part3 part4 -o report",
)
_add(
    "Measure",
    benchmark,
    "One card of figures for a policy: HLMAT as a benchmark.",
    "segagent benchmark embedded -o card",
    "segagent benchmark openai:my-model@http://127.0.0.1:8000/v1 --scenes 50 --data coco_small -o my-card",
    "segagent benchmark centre --tool grabcut --scenes 10 -o centre",
)
_add(
    "Measure",
    leaderboard,
    "Cards of several policies on one sortable page.",
    "segagent leaderboard card my-card centre -o leaderboard",
)
app.add_typer(
    reproduce, name="reproduce", rich_help_panel="Measure", short_help="Repeat the paper's experiments in miniature."
)
_add(
    "Train",
    trajectories,
    "Make training data with the simulated annotator.",
    "segagent trajectories scenes:1000:seed=1,split=train -o traj.jsonl",
    "segagent trajectories coco_small -o traj.jsonl --tool grabcut --starts empty,box --workers 4",
)
_add(
    "Train",
    rollouts,
    "Have a policy play training samples, to learn from its own episodes.",
    "segagent rollouts hf:model DATASET OTHER_DATASET -o rollouts --tool sam:DIR",
    "segagent rollouts openai:MODEL@URL DATASET -o part1 --shard 1/4 --budget-calls 100000",
)
app.add_typer(
    learn, name="train", rich_help_panel="Train", short_help="Fine-tune a policy on trajectories or its own rollouts."
)
_add(
    "Train",
    export_examples,
    "Write training data for other trainers.",
    "segagent export-examples traj.jsonl --to llama-factory --chat-format qwen3 -o data",
    "segagent export-examples traj.jsonl --to trl --chat-format model/segagent_format.json -o data",
    "segagent export-examples traj.jsonl --to published -o published.json",
)
app.add_typer(
    train, name="train-embedded", rich_help_panel="Train", short_help="Train the embedded models from scratch."
)
_add("Data", scenes, "Write generated scenes as a data set.", "segagent scenes scenes --num 200 --seed 1 --split test")
_add(
    "Data",
    sentences,
    "Make sentences about annotated photographs.",
    "segagent sentences coco_small voc_animals -o sentences --per-picture 2 --absent 0.1",
)
_add(
    "Data",
    corrupt,
    "Spoil a data set's masks in known ways.",
    "segagent corrupt scenes:100:split=test -o spoiled",
    "segagent audit spoiled -o run",
)
_add(
    "Models",
    doctor,
    "Find out what a model's coordinates mean.",
    "segagent doctor openai:my-model@http://127.0.0.1:8000/v1 -o my-format.json",
)
_add(
    "Models",
    calibrate,
    "Fit what a policy's predicted IoU is worth.",
    "segagent calibrate embedded:model scenes:100:split=val,seed=3,sentences=1",
)
_add(
    "Models",
    serve,
    "Serve annotation to other programs, over HTTP.",
    "segagent serve --port 8321",
    "segagent serve --policy hf:checkpoint --tool sam:checkpoint",
    "segagent serve --host 0.0.0.0 --log",
)
_add(
    "Models",
    serve_policy,
    "Serve a policy on this machine.",
    "segagent serve-policy embedded --port 8321",
    name="serve-policy",
)
_add(
    "Models",
    mcp,
    "Annotate from within programs that speak MCP.",
    "segagent mcp --root pictures --record episodes",
    "segagent mcp --http --port 8322 --tool grabcut",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (default: the process's own) and give the exit code; see ``segagent --help``."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    usage_error = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])
    try:
        code = app(list(arguments) if arguments is not None else None, prog_name="segagent", standalone_mode=False)
    except usage_error as error:
        where = f"{error.ctx.command_path} --help" if error.ctx is not None else "segagent --help"
        message = error.format_message().replace("Value error, ", "").rstrip(".")
        complain(f"{message}; see '{where}'")
        return EXIT_BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    if code == EXIT_INTERRUPTED:
        complain("interrupted")
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    sys.exit(main())
