"""``segagent train grpo`` and ``prm``: a policy improved by reward, and its process reward model."""

from __future__ import annotations

from typing import Annotated

import typer

from segagent.cli.common import JsonOption, ToolOption, open_data
from segagent.cli.console import counting, one_line, print_object, reporting_errors, say
from segagent.cli.training import OutOption, ResumeOption, tell_trained, telling_losses

DatasetArgument = Annotated[str, typer.Argument(metavar="DATASET", help="As for 'segagent trajectories'.")]


@reporting_errors
def grpo(
    model: Annotated[str, typer.Argument(metavar="POLICY", help="embedded, embedded:DIR or hf:DIR.")],
    dataset: DatasetArgument,
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
    tool: ToolOption = "embedded",
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


@reporting_errors
def prm(
    model: Annotated[str, typer.Argument(metavar="POLICY", help="embedded or embedded:DIR.")],
    dataset: DatasetArgument,
    *,
    out: OutOption,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimizer steps.")] = 800,
    max_steps: Annotated[int, typer.Option("--max-steps", min=1, help="Clicks of the policy's own episodes.")] = 4,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="At its peak.")] = 3e-4,
    tool: ToolOption = "embedded",
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
    with telling_losses(quiet=as_json) as watch:
        trained = train_own_prm(folder, open_data(dataset), out, config, resume=resume, watch=watch)
    tell_trained(trained, as_json=as_json)
