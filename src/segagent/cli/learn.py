"""``segagent train``: fine-tune a policy on trajectories, and on its own rollouts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from segagent.cli.common import CrowdsOption, JsonOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, counting, one_line, phases, print_object, reporting_errors, say
from segagent.cli.help import HelpfulCommand, HelpfulGroup, examples
from segagent.cli.options import given, takes
from segagent.cli.running import RunOptions, stopping, tell_failures, told_where

if TYPE_CHECKING:
    from segagent.learning.sft import Fresh, TrainedModel

learn = typer.Typer(
    cls=HelpfulGroup,
    epilog=examples("segagent train sft traj.jsonl --policy embedded -o model"),
    help="Fine-tune a policy on trajectories (sft), on its own rollouts (star), by their reward (grpo); fit its PRM.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

OutOption = Annotated[Path, typer.Option("--out", "-o", metavar="MODEL", help="Folder for the trained model.")]
ResumeOption = Annotated[bool, typer.Option("--resume/--restart", help="Go on from a checkpoint in MODEL, if any.")]


@dataclass(frozen=True)
class TrainingOptions:
    """The recipe, and what of it is otherwise this time."""

    PANEL: ClassVar[str] = "Training"

    recipe: Annotated[
        str | None,
        typer.Option("--recipe", help="A recipe by name or a TOML file. [default: by the model]", show_default=False),
    ] = None
    epochs: Annotated[float | None, typer.Option("--epochs", min=0.001, help="Passes over all examples.")] = None
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Optimizer steps, instead of epochs.")] = None
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="At its peak.")] = None
    batch_size: Annotated[int | None, typer.Option("--batch-size", min=1, help="Examples per optimizer step.")] = None
    object_weight: Annotated[
        float | None,
        typer.Option(
            "--object-weight",
            min=0.0,
            help="embedded: of the loss on which object is meant; above 0 that is the policy's own guess, and the "
            "grounding learns. [default: 0]",
        ),
    ] = None
    held_out: Annotated[
        float | None,
        typer.Option(
            "--held-out",
            min=0.0,
            help="embedded: share of the pictures kept apart; the weights that do best there are kept. [default: 0]",
        ),
    ] = None
    lora_rank: Annotated[
        int | None, typer.Option("--lora-rank", min=0, help="hf: models: adapters of this rank; 0 trains all weights.")
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Drives order and initialisation.")] = None

    def changes(self) -> dict[str, Any]:
        """What was given besides the recipe, by name."""
        return {name: value for name, value in given(self).items() if name != "recipe"}


@learn.command(
    "sft",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent trajectories scenes:500:split=train,sentences=2 -o traj.jsonl",
        "segagent train sft traj.jsonl --policy embedded -o model",
        'segagent annotate photo.jpg "the red mug" --policy embedded:model -o out',
        "segagent train sft traj.jsonl --policy hf:Qwen2.5-VL-7B-Instruct --lora-rank 16 -o model",
    ),
)
@reporting_errors
@takes(TrainingOptions)
def sft(
    trajectories: Annotated[
        list[Path], typer.Argument(metavar="TRAJ...", help="Files of 'segagent trajectories'.", show_default=False)
    ],
    *,
    out: OutOption,
    policy: Annotated[str, typer.Option("--policy", help="embedded, embedded:DIR or hf:DIR.")] = "embedded",
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="embedded: start with an untrained state head; it is built to click where the "
            "annotator's rule would, so it clicks well before it has learnt anything.",
        ),
    ] = False,
    fresh_bare: Annotated[
        bool,
        typer.Option(
            "--fresh-bare",
            help="embedded: the same without the rule: it has never clicked, and has to learn "
            "where to. It keeps what it sees and reads.",
        ),
    ] = False,
    training: TrainingOptions,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Teach a policy what the simulated annotator did, and the IoU of every mask it saw (process reward model)."""
    from segagent.learning.sft import default_recipe, load_recipe, train_sft

    begun: Fresh = "bare" if fresh_bare else fresh
    recipe, changes = training.recipe, training.changes()
    settings = load_recipe(recipe, **changes) if recipe is not None else default_recipe(policy, **changes)
    with phases(unit="steps", quiet=as_json) as update:
        trained = train_sft(
            policy,
            trajectories,
            out,
            settings,
            fresh=begun,
            resume=resume,
            progress=lambda what, done, total, loss: update(what, done, total, _loss(loss)),
        )
    if os.environ.get("RANK", "0") == "0":  # Under a launcher one process speaks for all.
        _tell(trained, as_json=as_json)


@learn.command(
    "star",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train star model scenes:500:split=train,sentences=2 -o model2",
        "segagent train star model DATASET OTHER_DATASET -o model2 --rounds 2 --temperature 1",
    ),
)
@reporting_errors
@takes(TrainingOptions)
@takes(RunOptions, "shard", "retry_failed", "batch_images", "batch_episodes", panel="Rollouts")
def star(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="S_0: a folder of 'segagent train sft'.")],
    datasets: Annotated[
        list[str],
        typer.Argument(
            metavar="DATASET...",
            help="As for 'segagent trajectories'; several are rolled out on alike.",
            show_default=False,
        ),
    ],
    *,
    crowds: CrowdsOption = False,
    out: OutOption,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="N.")] = 1,
    variant: Annotated[str, typer.Option("--variant", help="star+ (Alg. 1) or star (Alg. 4).")] = "star+",
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="T of the rollouts.")] = 11,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 rolls out greedily.")] = 0.0,
    min_reward: Annotated[float, typer.Option("--min-reward", help="star: episodes that reach this are kept.")] = 0.8,
    starts: Annotated[
        str | None,
        typer.Option(
            "--starts",
            help="What rollouts begin from: empty, box, random. [default: as MODEL's trajectories]",
            show_default=False,
        ),
    ] = None,
    tau_stop: Annotated[
        float | None,
        typer.Option(
            "--tau-stop",
            help="star+: from this IoU on Finish is right. [default: as MODEL's trajectories]",
            show_default=False,
        ),
    ] = None,
    tau_diff: Annotated[
        float | None,
        typer.Option(
            "--tau-diff",
            help="star+: a correction that raises the IoU by less, or not at all, is dropped. "
            "[default: as MODEL's trajectories]",
            show_default=False,
        ),
    ] = None,
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
    training: TrainingOptions,
    run: RunOptions,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Improve a model on its own episodes: keep actions that raised the reward, correct the others, train again.

    A correction is the simulated annotator's, tried out first: one that does not raise the reward is dropped.
    """
    from dataclasses import replace
    from typing import cast

    from segagent.core import InputError
    from segagent.learning.sft import load_recipe, load_recipe_from, read_training_note
    from segagent.learning.star import StarConfig, run_star
    from segagent.learning.star.config import Variant
    from segagent.learning.trajectories import parse_starts
    from segagent.runs.summary import SUMMARY_ENDING

    config = StarConfig(
        cast(Variant, variant), rounds, max_steps, temperature, min_reward, tool, training.seed or 0,
        parse_starts(starts) if starts is not None else None, tau_stop, tau_diff,
    )  # fmt: skip
    note = read_training_note(model)
    if "recipe" not in note:
        raise InputError(f"{model}: its training note names no recipe; expected a model of 'segagent train sft'")
    recipe = load_recipe(training.recipe) if training.recipe is not None else load_recipe_from(note["recipe"])
    opened = [open_data(one, crowds=crowds) for one in datasets]
    how = run.how((str(note.get("scheme", "")) + ":", tool), max(one.num_images for one in opened))
    failed: list[tuple[Path, str, str]] = []
    with stopping(), told_where(out), phases(unit="steps", quiet=as_json) as update:
        trained = run_star(
            model,
            opened,
            out,
            config,
            recipe=replace(recipe, **training.changes()),
            on_failures=lambda file, failures: failed.extend((file, one.sample_id, one.reason) for one in failures),
            resume=resume,
            progress=lambda what, done, total, loss: update(what, done, total, _loss(loss)),
            **how,
        )
    _tell(trained, as_json=as_json)
    if failed:
        files = ", ".join(dict.fromkeys(str(file.with_suffix(SUMMARY_ENDING)) for file, _, _ in failed))
        tell_failures([(name, reason) for _, name, reason in failed], "sample", f"{files} list all")
        raise typer.Exit(EXIT_SOME_FAILED)


@learn.command(
    "grpo",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train grpo embedded scenes:1000:split=train,complexity=hard,sentences=1 -o model",
        "segagent train grpo embedded:model DATASET -o model2 --updates 200 --reward iou_gain+0.1*final_iou",
    ),
)
@reporting_errors
def grpo(
    model: Annotated[str, typer.Argument(metavar="POLICY", help="embedded or embedded:DIR.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="As for 'segagent trajectories'.")],
    *,
    out: OutOption,
    updates: Annotated[int, typer.Option("--updates", min=1, help="How often it plays and learns.")] = 100,
    questions: Annotated[int, typer.Option("--questions", min=1, help="Sentences of an update.")] = 8,
    group: Annotated[int, typer.Option("--group", min=2, help="Episodes about each, compared with each other.")] = 8,
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="Clicks of an episode.")] = 4,
    reward: Annotated[str, typer.Option("--reward", help="Of a click; a weighted sum by names.")] = "iou_gain",
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="At its peak.")] = 1e-4,
    kl: Annotated[float, typer.Option("--kl", min=0.0, help="Weight of the distance from POLICY.")] = 0.02,
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws questions and clicks.")] = 0,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Improve the embedded policy by the reward of its own clicks (GRPO): what is meant, and where to click."""
    from segagent.core import SpecError
    from segagent.learning.rl import GrpoConfig, train_grpo

    scheme, _, folder = model.partition(":")
    if scheme != "embedded":
        raise SpecError(f"policy {model!r:.200}: expected embedded or embedded:DIR")
    config = GrpoConfig(
        updates=updates,
        questions=questions,
        group=group,
        max_steps=max_steps,
        reward=reward,
        learning_rate=learning_rate,
        kl=kl,
        tool=tool,
        seed=seed,
    )
    with counting("playing and learning", updates, unit="updates", quiet=as_json) as update:
        trained = train_grpo(
            folder,
            open_data(dataset),
            out,
            config,
            resume=resume,
            watch=lambda done, total, measured: update(done, f"IoU {measured['last_iou']:.3f}"),
        )
    if as_json:
        print_object({"policy": trained.spec, "updates": trained.steps, "seconds": round(trained.seconds, 1)})
    else:
        say(f"{trained.steps} updates in {trained.seconds:.0f} s; use it as --policy {one_line(trained.spec)}")


@learn.command(
    "prm",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train prm embedded:model scenes:300:split=train,complexity=hard,sentences=1 -o model2",
        "segagent calibrate embedded:model2 VALIDATION_DATASET",
    ),
)
@reporting_errors
def prm(
    model: Annotated[str, typer.Argument(metavar="POLICY", help="embedded or embedded:DIR.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="As for 'segagent trajectories'.")],
    *,
    out: OutOption,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps.")] = 800,
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="Clicks of the policy's own episodes.")] = 4,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="At its peak.")] = 3e-4,
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws masks and their order.")] = 0,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Fit a process reward model with weights of its own to the embedded policy; what it clicks stays as it is.

    It learns from the policy's own episodes, good masks of other things and corrupted ones.
    """
    from segagent.core import SpecError
    from segagent.learning.prm import PrmConfig, train_own_prm

    scheme, _, folder = model.partition(":")
    if scheme != "embedded":
        raise SpecError(f"policy {model!r:.200}: expected embedded or embedded:DIR")
    config = PrmConfig(max_steps=max_steps, steps=steps, learning_rate=learning_rate, tool=tool, seed=seed)
    with phases(unit="steps", quiet=as_json) as update:
        trained = train_own_prm(
            folder,
            open_data(dataset),
            out,
            config,
            resume=resume,
            watch=lambda what, done, total, loss: update(what, done, total, _loss(loss)),
        )
    _tell(trained, as_json=as_json)


def _loss(loss: float) -> str:
    """A note for a progress bar; nothing before there is a loss."""
    return f"loss {loss:.3f}" if isfinite(loss) else ""


def _tell(trained: TrainedModel, *, as_json: bool) -> None:
    if as_json:
        print_object(
            {
                "policy": trained.spec,
                "steps": trained.steps,
                "examples": trained.examples,
                "left_out": trained.left_out,
                "losses": [list(pair) for pair in trained.losses],
                "seconds": round(trained.seconds, 1),
            }
        )
        return
    if trained.left_out:
        why = "longer than max_length" if trained.spec.startswith("hf:") else "their objects are not found, or not read"
        say(f"{trained.left_out} more examples were left out: {why}")
    first, last = trained.losses[0][1], trained.losses[-1][1]
    say(
        f"{trained.steps} steps on {trained.examples} examples in {trained.seconds:.0f} s, "
        f"loss {first:.3f} to {last:.3f}; use it as --policy {one_line(trained.spec)}"
    )
