"""``segagent train``: fine-tune a policy on trajectories, and on its own rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import CrowdsOption, JsonOption, ToolOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, reporting_errors
from segagent.cli.help import HelpfulCommand, HelpfulGroup, examples
from segagent.cli.options import takes
from segagent.cli.reinforce import grpo, prm
from segagent.cli.running import RunOptions, stopping, tell_failures, told_where
from segagent.cli.training import (
    ExtraOptions,
    OutOption,
    ResumeOption,
    TrainingOptions,
    tell_trained,
    telling_losses,
)

if TYPE_CHECKING:
    from segagent.learning.sft import Fresh

learn = typer.Typer(
    cls=HelpfulGroup,
    epilog=examples("segagent train sft traj.jsonl --policy embedded -o model"),
    help="Fine-tune a policy on trajectories (sft), on its own rollouts (star), by their reward (grpo); fit its PRM.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


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
@takes(ExtraOptions)
def sft(
    trajectories: Annotated[
        list[Path],
        typer.Argument(
            metavar="TRAJ...",
            help="Files of 'segagent trajectories', or trajectory files of the published project.",
            show_default=False,
        ),
    ],
    *,
    out: OutOption,
    policy: Annotated[str, typer.Option("--policy", help="embedded, embedded:DIR or hf:DIR.")] = "embedded",
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="The pictures of files of the published project.")
    ] = None,
    weight: Annotated[
        list[float] | None,
        typer.Option(
            "--weight",
            help="hf: models: how often a TRAJ's examples are drawn, one for each. [default: each once an epoch]",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            help="hf: models: teach what this preset asks: its format, and its own first box.",
            show_default=False,
        ),
    ] = None,
    first_box: Annotated[
        bool, typer.Option("--first-box", help="hf: models: teach the first box of trajectories that begin with one.")
    ] = False,
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
    extra: ExtraOptions,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Teach a policy what the simulated annotator did, and the IoU of every mask it saw (process reward model)."""
    from segagent.learning.launcher import is_first
    from segagent.learning.sft import default_recipe, load_recipe, train_sft

    begun: Fresh = "bare" if fresh_bare else fresh
    recipe, changes = training.recipe, training.changes()
    policy, boxes = _as_preset(policy, preset) if preset is not None else (policy, False)
    changes |= {"first_box": True} if first_box or boxes else {}
    settings = load_recipe(recipe, **changes) if recipe is not None else default_recipe(policy, **changes)
    with telling_losses(quiet=as_json or not is_first()) as progress:
        trained = train_sft(
            policy,
            trajectories,
            out,
            settings,
            fresh=begun,
            resume=resume,
            weights=weight or (),
            images=images,
            extras=extra.extras(),
            progress=progress,
        )
    if is_first():
        tell_trained(trained, as_json=as_json)


@learn.command(
    "star",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train star model scenes:500:split=train,sentences=2 -o model2",
        "segagent train star model DATASET OTHER_DATASET -o model2 --rounds 2 --temperature 1",
        "torchrun --nproc-per-node 8 -m segagent train star model --rollouts part1 --rollouts part2 -o model2",
    ),
)
@reporting_errors
@takes(TrainingOptions)
@takes(ExtraOptions)
@takes(RunOptions, "shard", "retry_failed", "batch_images", "batch_episodes", panel="Rollouts")
def star(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="S_0: a folder of 'segagent train sft'.")],
    datasets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DATASET...]",
            help="As for 'segagent trajectories'; several are rolled out on alike.",
            show_default=False,
        ),
    ] = None,
    *,
    made: Annotated[
        list[Path] | None,
        typer.Option(
            "--rollouts",
            metavar="DIR",
            help="Learn from these of 'segagent rollouts' (repeatable), instead of rolling out on DATASET.",
            show_default=False,
        ),
    ] = None,
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
    tool: ToolOption = "embedded",
    training: TrainingOptions,
    extra: ExtraOptions,
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
    from segagent.learning.launcher import is_first
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
    opened = [open_data(one, crowds=crowds) for one in datasets or []]
    if made and (opened or run.given() or config.rollout_settings() != StarConfig(seed=config.seed).rollout_settings()):
        raise InputError(
            "--rollouts were played before: DATASET and the options of playing (--starts, --max-steps, --tool, "
            "--temperature, --workers, ...) belong to 'segagent rollouts'"
        )
    how = run.how((str(note.get("scheme", "")) + ":", tool), max((one.num_images for one in opened), default=1))
    failed: list[tuple[Path, str, str]] = []
    with stopping(), told_where(out), telling_losses(quiet=as_json or not is_first()) as progress:
        trained = run_star(
            model,
            opened,
            out,
            config,
            recipe=replace(recipe, **training.changes()),
            rollouts=made or (),
            extras=extra.extras(),
            on_failures=lambda file, failures: failed.extend((file, one.sample_id, one.reason) for one in failures),
            resume=resume,
            progress=progress,
            **how,
        )
    if is_first():
        tell_trained(trained, as_json=as_json)
    if failed:
        files = ", ".join(dict.fromkeys(str(file.with_suffix(SUMMARY_ENDING)) for file, _, _ in failed))
        tell_failures([(name, reason) for _, name, reason in failed], "sample", f"{files} list all")
        raise typer.Exit(EXIT_SOME_FAILED)


def _as_preset(policy: str, name: str) -> tuple[str, bool]:
    """``policy`` with the format of a preset, and whether that begins with a box of its own."""
    from segagent.annotation.presets import load_preset
    from segagent.core import SpecError

    if policy.partition(":")[0] != "hf":
        raise SpecError(f"policy {policy!r:.200}: --preset is for hf: models")
    preset = load_preset(name)
    return preset.policy_spec(policy), preset.first_box == "own"


learn.command(
    "grpo",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train grpo embedded scenes:1000:split=train,complexity=hard,sentences=1 -o model",
        "segagent train grpo embedded:model DATASET -o model2 --updates 200 --reward iou_gain+0.1*final_iou",
        "segagent train grpo hf:model DATASET -o model2 --lora-rank 16",
    ),
)(grpo)
learn.command(
    "prm",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent train prm embedded:model scenes:300:split=train,complexity=hard,sentences=1 -o model2",
        "segagent calibrate embedded:model2 VALIDATION_DATASET",
    ),
)(prm)
