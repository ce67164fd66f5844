"""``segagent train``: fine-tune a policy on trajectories, and on its own rollouts."""

from __future__ import annotations

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
    from segagent.learning.sft import Extras, Fresh, TrainedModel

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
    lora_projector: Annotated[
        bool,
        typer.Option("--lora-projector", help="hf: models: adapters at the projector too, not only in the blocks."),
    ] = False
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Drives order and initialisation.")] = None

    def changes(self) -> dict[str, Any]:
        """What was given besides the recipe, by name."""
        return {name: value for name, value in given(self).items() if name != "recipe"}


@dataclass(frozen=True)
class ExtraOptions:
    """What a training of an ``hf:`` model does beside learning; see :class:`segagent.learning.sft.Extras`."""

    PANEL: ClassVar[str] = "Large models (hf:)"

    validate: Annotated[
        str | None,
        typer.Option(
            "--validate",
            metavar="DATASET",
            help="Play samples of it whenever a checkpoint is written; the best one becomes the model.",
            show_default=False,
        ),
    ] = None
    validate_samples: Annotated[int, typer.Option("--validate-samples", min=1, help="How many.")] = 32
    validate_tool: Annotated[str, typer.Option("--validate-tool", help="What turns clicks into masks there.")] = (
        "embedded"
    )
    report: Annotated[
        str,
        typer.Option(
            "--report", help="Where figures are told too, separated by commas: tensorboard, wandb, wandb-offline."
        ),
    ] = ""
    fsdp: Annotated[
        bool, typer.Option("--fsdp", help="Spread weights, gradients and optimizer over the launcher's processes.")
    ] = False
    deepspeed: Annotated[
        Path | None, typer.Option("--deepspeed", metavar="FILE", help="The same by DeepSpeed, with these settings.")
    ] = None

    def extras(self) -> Extras:
        """As one value. Raises ``InputError``."""
        from segagent.core import InputError
        from segagent.learning.sft import Extras, Validation

        if self.deepspeed is not None and not self.deepspeed.is_file():
            raise InputError(f"{self.deepspeed}: no such file; expected DeepSpeed's settings as JSON")
        validation = None
        if self.validate is not None:
            validation = Validation(open_data(self.validate), self.validate_tool, self.validate_samples)
        names = tuple(name.strip() for name in self.report.split(",") if name.strip())
        return Extras(validation, names, self.fsdp, str(self.deepspeed or ""))


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
    with phases(unit="steps", quiet=as_json or not is_first()) as update:
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
            progress=lambda what, done, total, loss: update(what, done, total, _loss(loss)),
        )
    if is_first():
        _tell(trained, as_json=as_json)


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
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
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
    with stopping(), told_where(out), phases(unit="steps", quiet=as_json or not is_first()) as update:
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
            progress=lambda what, done, total, loss: update(what, done, total, _loss(loss)),
            **how,
        )
    if is_first():
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
        "segagent train grpo hf:model DATASET -o model2 --lora-rank 16",
    ),
)
@reporting_errors
def grpo(
    model: Annotated[str, typer.Argument(metavar="POLICY", help="embedded, embedded:DIR or hf:DIR.")],
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="As for 'segagent trajectories'.")],
    *,
    out: OutOption,
    updates: Annotated[int, typer.Option("--updates", min=1, help="How often it plays and learns.")] = 100,
    questions: Annotated[int, typer.Option("--questions", min=1, help="Sentences of an update.")] = 8,
    group: Annotated[int, typer.Option("--group", min=2, help="Episodes about each, compared with each other.")] = 8,
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="Clicks of an episode.")] = 4,
    reward: Annotated[
        str | None,
        typer.Option(
            "--reward",
            help="Of a click; a weighted sum by names. [default: iou_gain; hf: also format_kept and stopping]",
            show_default=False,
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option("--learning-rate", help="At its peak. [default: 1e-4; hf: 1e-5]", show_default=False),
    ] = None,
    kl: Annotated[float, typer.Option("--kl", min=0.0, help="Weight of the distance from POLICY.")] = 0.02,
    tool: Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")] = "embedded",
    lora_rank: Annotated[
        int, typer.Option("--lora-rank", min=0, help="hf: an adapter of this rank; 0 trains all language weights.")
    ] = 16,
    micro_batch: Annotated[int, typer.Option("--micro-batch", min=1, help="hf: replies per pass and device.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws questions and clicks.")] = 0,
    resume: ResumeOption = True,
    as_json: JsonOption = False,
) -> None:
    """Improve a policy by the reward of its own clicks (GRPO).

    embedded: what is meant and where to click, each click worth all that comes after it. hf: by TRL; replies to the
    same state are compared, each worth what it gains itself.
    """
    from functools import partial

    from segagent.core import SpecError
    from segagent.environment.rewards import DEFAULT
    from segagent.learning.launcher import is_first
    from segagent.learning.rl import GrpoConfig, train_grpo

    scheme, _, folder = model.partition(":")
    if scheme not in ("embedded", "hf"):
        raise SpecError(f"policy {model!r:.200}: expected embedded, embedded:DIR or hf:DIR")
    local = scheme == "hf"
    config = GrpoConfig(
        updates=updates,
        questions=questions,
        group=group,
        max_steps=max_steps,
        reward=reward or (DEFAULT if local else "iou_gain"),
        learning_rate=learning_rate or (1e-5 if local else 1e-4),
        kl=kl,
        tool=tool,
        seed=seed,
    )
    train = train_grpo
    if local:
        from segagent.learning.rl.checkpoints import train_grpo_checkpoint

        train = partial(train_grpo_checkpoint, lora_rank=lora_rank, micro_batch=micro_batch)
    # In a checkpoint's training an update is as many steps as it has passes.
    per = config.passes if local else 1
    word, name = ("reward", "reward") if local else ("IoU", "last_iou")
    with counting("playing and learning", updates, unit="updates", quiet=as_json) as update:
        trained = train(
            folder,
            open_data(dataset),
            out,
            config,
            resume=resume,
            watch=lambda done, total, measured: update(done // per, f"{word} {measured[name]:.3f}"),
        )
    if not is_first():  # Under a launcher one process speaks for all.
        return
    if as_json:
        print_object({"policy": trained.spec, "updates": trained.steps, "seconds": round(trained.seconds, 1)})
    else:
        if trained.left_out:
            say(f"{trained.left_out} samples cannot be read and were left out; see {one_line(str(out))}/left_out.json")
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


def _as_preset(policy: str, name: str) -> tuple[str, bool]:
    """``policy`` with the format of a preset, and whether that begins with a box of its own."""
    from segagent.annotation.presets import load_preset
    from segagent.core import SpecError

    if policy.partition(":")[0] != "hf":
        raise SpecError(f"policy {policy!r:.200}: --preset is for hf: models")
    preset = load_preset(name)
    return preset.policy_spec(policy), preset.first_box == "own"


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
                "best": trained.best,
                "losses": [list(pair) for pair in trained.losses],
                "seconds": round(trained.seconds, 1),
            }
        )
        return
    if trained.left_out:
        why = "longer than max_length" if trained.spec.startswith("hf:") else "their objects are not found, or not read"
        say(f"{trained.left_out} more examples were left out: {why}")
    if trained.best is not None:
        say(f"the model is that of step {trained.best[0]}, with mIoU {trained.best[1]:.3f} after 7 clicks")
    first, last = trained.losses[0][1], trained.losses[-1][1]
    say(
        f"{trained.steps} steps on {trained.examples} examples in {trained.seconds:.0f} s, "
        f"loss {first:.3f} to {last:.3f}; use it as --policy {one_line(trained.spec)}"
    )
