"""``segagent reproduce``: the paper's experiments again, as far as a small machine can."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
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


OutOption = Annotated[Path, typer.Option("--out", "-o", help="The folder; an existing one is resumed.")]
QuickOption = Annotated[
    bool, typer.Option("--quick", help="A few scenes and training steps: shows that it works, proves nothing.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Draws the scenes; the first training's seed.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Processes for playing episodes.")]


def _number(what: str, default: int) -> Any:
    """An option for one of the experiment's sizes, named as the parameter is; the experiment has the default."""
    return typer.Option(min=1, help=f"{what} [default: {default}]", show_default=False)


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
    out: OutOption,
    quick: QuickOption = False,
    seed: SeedOption = 0,
    seeds: Annotated[int | None, _number("Repeat the trainings with so many seeds.", 1)] = None,
    workers: WorkersOption = 2,
    train_scenes: Annotated[int | None, _number("Training scenes.", 500)] = None,
    test_scenes: Annotated[int | None, _number("Test scenes per split.", 100)] = None,
    as_json: JsonOption = False,
) -> None:
    """Repeat the paper's tables and figures with the embedded models on generated scenes.

    Writes OUT/miniature.md, OUT/results.json and OUT/plots. A run that was stopped, even killed, goes on where it
    stopped when started again.
    """
    from segagent.reproduce.config import MiniConfig, quick_config
    from segagent.reproduce.run import reproduce_miniature

    given = _given(seed=seed, seeds=seeds or 1, train_scenes=train_scenes, test_scenes=test_scenes)
    config = (quick_config if quick else MiniConfig)(**given)
    _carry_out("miniature", partial(reproduce_miniature, out, config), out, given, quick, workers, as_json=as_json)


@reproduce.command(
    "gains",
    cls=HelpfulCommand,
    epilog=examples("segagent reproduce gains -o gains --quick", "segagent reproduce gains -o gains --seeds 3"),
)
@reporting_errors
def gains(
    *,
    out: OutOption,
    quick: QuickOption = False,
    seed: SeedOption = 0,
    seeds: Annotated[int | None, _number("So many trainings.", 3)] = None,
    workers: WorkersOption = 1,
    d_0_scenes: Annotated[int | None, _number("Simple scenes of D_0.", 150)] = None,
    hard_scenes: Annotated[int | None, _number("Hard training scenes.", 150)] = None,
    test_scenes: Annotated[int | None, _number("Test scenes per split.", 300)] = None,
    max_steps: Annotated[int | None, _number("T.", 4)] = None,
    sft_steps: Annotated[int | None, _number("Optimizer steps of SFT.", 300)] = None,
    star_steps: Annotated[int | None, _number("Of StaR+ and its controls.", 250)] = None,
    prm_steps: Annotated[int | None, _number("Of each PRM.", 400)] = None,
    updates: Annotated[int | None, _number("Of GRPO.", 20)] = None,
    as_json: JsonOption = False,
) -> None:
    """Self-training, process reward model, search and GRPO where the test scenes are harder than D_0.

    Writes OUT/gains.md and OUT/results.json, with the bounds that the true IoU gives beside each figure. A run that was
    stopped, even killed, goes on where it stopped when started again.
    """
    from segagent.reproduce.gains.config import GainsConfig, quick_gains
    from segagent.reproduce.gains.run import reproduce_gains

    given = _given(
        seed=seed, seeds=seeds, d_0_scenes=d_0_scenes, hard_scenes=hard_scenes, test_scenes=test_scenes,
        max_steps=max_steps, sft_steps=sft_steps, star_steps=star_steps, prm_steps=prm_steps, updates=updates,
    )  # fmt: skip
    config = (quick_gains if quick else GainsConfig)(**given)
    _carry_out("gains", partial(reproduce_gains, out, config), out, given, quick, workers, as_json=as_json)


def _given(**sizes: int | None) -> dict[str, Any]:
    return {name: number for name, number in sizes.items() if number is not None}


def _carry_out(
    name: str, run: Callable[..., dict[str, Any]], out: Path, given: dict[str, Any], quick: bool, workers: int,
    *, as_json: bool,
) -> None:  # fmt: skip
    """Run an experiment with progress, and say what it found."""
    options = ["--quick"] * quick + [f"--{name.replace('_', '-')} {number}" for name, number in given.items()]
    command = f"segagent reproduce {name} -o OUT {' '.join(options)}"
    with told_where(out):
        results = run(workers=workers, watch=partial(_watch, quiet=as_json), command=command)
    if as_json:
        print_object(results)
        return
    for one in results["findings"]:
        say(f"{one['verdict']:20} {one['claim']}: {one['ours']}")
    say(f"page: {one_line(str(out / f'{name}.md'))}")


def _watch(
    what: str, total: float | None, unit: str, *, quiet: bool
) -> AbstractContextManager[Callable[[float, str], None]]:
    return counting(what, total, unit=unit, quiet=quiet)
