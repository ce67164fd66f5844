"""``segagent reproduce``: the paper's experiments again, as far as a small machine can."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import counting, one_line, print_object, reporting_errors, say
from segagent.cli.help import HelpfulCommand, HelpfulGroup, examples
from segagent.cli.running import told_where

reproduce = typer.Typer(
    cls=HelpfulGroup,
    epilog=examples("segagent reproduce miniature -o miniature --quick"),
    help="Repeat the paper's experiments.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@reproduce.callback()
def _group() -> None:
    """Repeat the paper's experiments."""


@reproduce.command(
    "miniature",
    cls=HelpfulCommand,
    epilog=examples(
        "segagent reproduce miniature -o miniature --quick",
        "segagent reproduce miniature -o miniature --seeds 3 --workers 4",
    ),
)
@reporting_errors
def miniature(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder; an existing one is resumed.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="A few scenes and training steps: shows that it works, proves nothing.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the scenes; the first training's seed.")] = 0,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Repeat the trainings with so many seeds.")] = 1,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes for playing episodes.")] = 2,
    train_scenes: Annotated[
        int | None, typer.Option("--train-scenes", min=1, help="Training scenes. [default: 500]", show_default=False)
    ] = None,
    test_scenes: Annotated[
        int | None,
        typer.Option("--test-scenes", min=1, help="Test scenes per split. [default: 100]", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat the paper's tables and figures with the embedded models on generated scenes.

    Writes OUT/miniature.md, OUT/results.json and OUT/plots. A run that was stopped, even killed, goes on where it
    stopped when started again.
    """
    from functools import partial

    from segagent.reproduce.config import MiniConfig, quick_config
    from segagent.reproduce.run import reproduce_miniature

    sizes = {"train_scenes": train_scenes, "test_scenes": test_scenes}
    given: dict[str, Any] = {name: number for name, number in sizes.items() if number is not None}
    config = (quick_config if quick else MiniConfig)(seed=seed, seeds=seeds, **given)
    options = [
        *(["--quick"] if quick else []),
        f"--seed {seed}",
        f"--seeds {seeds}",
        *(f"--{name.replace('_', '-')} {number}" for name, number in given.items()),
    ]
    with told_where(out):
        results = reproduce_miniature(
            out,
            config,
            workers=workers,
            watch=partial(_watch, quiet=as_json),
            command=f"segagent reproduce miniature -o OUT {' '.join(options)}",
        )
    if as_json:
        print_object(results)
        return
    for one in results["findings"]:
        say(f"{one['verdict']:20} {one['claim']}: {one['ours']}")
    say(f"page: {one_line(str(out / 'miniature.md'))}")


@reproduce.command(
    "gains",
    cls=HelpfulCommand,
    epilog=examples("segagent reproduce gains -o gains --quick", "segagent reproduce gains -o gains --seeds 3"),
)
@reporting_errors
def gains(
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder; an existing one is resumed.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="A few scenes and training steps: shows that it works, proves nothing.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the scenes; the first training's seed.")] = 0,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="So many trainings. [default: 3]", show_default=False)
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes for playing episodes.")] = 1,
    d_0_scenes: Annotated[
        int | None, typer.Option("--d-0-scenes", min=1, help="Simple scenes of D_0. [default: 150]", show_default=False)
    ] = None,
    hard_scenes: Annotated[
        int | None,
        typer.Option("--hard-scenes", min=1, help="Hard training scenes. [default: 150]", show_default=False),
    ] = None,
    test_scenes: Annotated[
        int | None,
        typer.Option("--test-scenes", min=1, help="Test scenes per split. [default: 300]", show_default=False),
    ] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", min=1, help="T. [default: 4]", show_default=False)
    ] = None,
    sft_steps: Annotated[
        int | None,
        typer.Option("--sft-steps", min=1, help="Optimizer steps of SFT. [default: 300]", show_default=False),
    ] = None,
    star_steps: Annotated[
        int | None,
        typer.Option("--star-steps", min=1, help="Of StaR+ and its controls. [default: 250]", show_default=False),
    ] = None,
    prm_steps: Annotated[
        int | None, typer.Option("--prm-steps", min=1, help="Of each PRM. [default: 400]", show_default=False)
    ] = None,
    updates: Annotated[
        int | None, typer.Option("--updates", min=1, help="Of GRPO. [default: 20]", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Self-training, process reward model, search and GRPO where the test scenes are harder than D_0.

    Writes OUT/gains.md and OUT/results.json, with the bounds that the true IoU gives beside each figure. A run that was
    stopped, even killed, goes on where it stopped when started again.
    """
    from functools import partial

    from segagent.reproduce.gains.config import GainsConfig, quick_gains
    from segagent.reproduce.gains.run import reproduce_gains

    sizes = {
        "seeds": seeds,
        "d_0_scenes": d_0_scenes,
        "hard_scenes": hard_scenes,
        "test_scenes": test_scenes,
        "max_steps": max_steps,
        "sft_steps": sft_steps,
        "star_steps": star_steps,
        "prm_steps": prm_steps,
        "updates": updates,
    }
    given: dict[str, Any] = {name: number for name, number in sizes.items() if number is not None}
    config = (quick_gains if quick else GainsConfig)(seed=seed, **given)
    options = [
        *(["--quick"] if quick else []),
        f"--seed {seed}",
        *(f"--{name.replace('_', '-')} {number}" for name, number in given.items()),
    ]
    with told_where(out):
        results = reproduce_gains(
            out,
            config,
            workers=workers,
            watch=partial(_watch, quiet=as_json),
            command=f"segagent reproduce gains -o OUT {' '.join(options)}",
        )
    if as_json:
        print_object(results)
        return
    for one in results["findings"]:
        say(f"{one['verdict']:20} {one['claim']}: {one['ours']}")
    say(f"page: {one_line(str(out / 'gains.md'))}")


def _watch(
    what: str, total: float | None, unit: str, *, quiet: bool
) -> AbstractContextManager[Callable[[float, str], None]]:
    return counting(what, total, unit=unit, quiet=quiet)
