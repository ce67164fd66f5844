"""What the commands that fine-tune a policy share: options of a training, and what is told of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from segagent.cli.common import open_data
from segagent.cli.console import one_line, phases, print_object, say
from segagent.cli.options import given

if TYPE_CHECKING:
    from segagent.learning.sft import Extras, TrainedModel


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


@contextmanager
def telling_losses(*, quiet: bool) -> Iterator[Callable[[str, int, int, float], None]]:
    """Progress bars of a training's phases, as :func:`segagent.cli.console.phases`. Yields ``update(what, done, total,
    loss)``; before there is a loss it is no number.
    """
    with phases(unit="steps", quiet=quiet) as update:
        yield lambda what, done, total, loss: update(what, done, total, f"loss {loss:.3f}" if isfinite(loss) else "")


def tell_trained(trained: TrainedModel, *, as_json: bool) -> None:
    """Say what came of a training, or print it."""
    if as_json:
        told = {name: getattr(trained, name) for name in ("steps", "examples", "left_out", "best", "losses")}
        print_object({"policy": trained.spec, **told, "seconds": round(trained.seconds, 1)})
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
