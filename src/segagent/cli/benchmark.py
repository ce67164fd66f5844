"""``segagent benchmark``: one card of figures for a policy. ``segagent leaderboard``: several cards side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segagent.cli.common import CrowdsOption, JsonOption, ToolOption, tell_notes
from segagent.cli.console import EXIT_SOME_FAILED, one_line, phases, print_object, reporting_errors, say, warn
from segagent.cli.options import takes
from segagent.cli.running import RunOptions, stopping, tell_failures, told_where


@reporting_errors
@takes(RunOptions, "shard")
def benchmark(
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="Who is tested, as --policy of other commands.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder; an existing one is resumed.")],
    tool: ToolOption = "embedded",
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="DATASET", help="A data set to play as well; may be repeated.", show_default=False
        ),
    ] = None,
    crowds: CrowdsOption = False,
    scenes: Annotated[int, typer.Option("--scenes", min=0, help="So many generated test scenes; 0 for none.")] = 100,
    steps: Annotated[int, typer.Option("--steps", min=1, help="At most so many actions.")] = 7,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives sampling; the scenes stay the same.")] = 0,
    name: Annotated[
        str | None, typer.Option("--name", help="How leaderboards call it. [default: POLICY]", show_default=False)
    ] = None,
    gallery: Annotated[
        int, typer.Option("--gallery", min=0, help="So many best, median and worst episodes as film strips.")
    ] = 2,
    run: RunOptions,
    as_json: JsonOption = False,
) -> None:
    """Test a policy at all of HLMAT: localisation, refinement, self-assessment, stopping, cost, and the masks.

    Writes OUT/card.json, card.md and card.html (one file, opens from disk), and beside them all that was played. A run
    that was stopped, even killed, goes on where it stopped when started again, and ends with the same card, times
    apart. The policy never sees a true mask, except that refinement starts from faulty ones made of it.
    """
    from functools import partial

    from segagent.evaluation.card.protocol import Benchmark, card_name, data_sets
    from segagent.evaluation.card.run import play_benchmark
    from segagent.evaluation.card.writing import write_card
    from segagent.runs.models import make_models

    card_name(name, policy)  # Refused now rather than after all is played.
    config = Benchmark(steps, seed, run.batch_images, run.batch_episodes)
    sets = data_sets(scenes, data or [], crowds=crowds)
    for one in sets:
        tell_notes(one.dataset)
    make = partial(make_models, policy, tool)
    how = run.how((policy, tool), max(one.dataset.num_images for one in sets))
    with stopping(), told_where(out), phases(unit="images", quiet=as_json) as update:
        failures = play_benchmark(sets, make, out, config, watch=update, **how)
    card = write_card(sets, out, config, name=name, gallery=gallery)
    if as_json:
        print_object(card)
    else:
        told = [(one.sample_id, one.reason) for one in failures]
        tell_failures(told, "sample", f"the journals below {out} list all")
        _tell(card)
        say(f"card: {one_line(str(out / 'card.html'))}")
    if failures:
        raise typer.Exit(EXIT_SOME_FAILED)


def _tell(content: dict[str, Any]) -> None:
    from segagent.evaluation.card.figures import FIGURES
    from segagent.evaluation.card.pages import BASELINES, NOT_KNOWN, shown
    from segagent.evaluation.card.reading import parse_card

    for one in parse_card(content).data:
        say(one_line(f"{one.label}: {one.counts['sentences']} sentences on {one.counts['images']} images"))
        for figure in FIGURES:
            beside = [
                f"{label} {shown(one.baselines[name][figure.key], figure.key, interval=False)}"
                for name, label in BASELINES.items()
                if figure.key in one.baselines.get(name, {})
            ]
            value = shown(one.figure(figure.key), figure.key)
            unit = " %" if figure.unit == "percent" and value != NOT_KNOWN else ""
            more = f"  ({', '.join(beside)})" if beside else ""
            say(f"  {figure.ability + ': ' + figure.name:38} {value}{unit}{more}")


@reporting_errors
def leaderboard(
    cards: Annotated[
        list[Path], typer.Argument(metavar="CARD...", help="Folders of 'segagent benchmark', or their card.json.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    as_json: JsonOption = False,
) -> None:
    """Make OUT/leaderboard.html (one sortable page, opens from disk), leaderboard.md and leaderboard.json.

    Cards of different protocols, settings, data sets or numbers of sentences are not compared: they stand in tables of
    their own. Files that are no cards are told and left out, and the exit code is 1.
    """
    from segagent.evaluation.card.leaderboard import write_leaderboard

    made = write_leaderboard(cards, out)
    for _, reason in made.skipped:
        warn(f"left out: {reason}")
    if as_json:
        print_object(made.to_dict())
    else:
        for board in made.boards:
            say(one_line(board.title))
            for rank, row in board.ranked():
                score = "-" if row.data.score is None else f"{100 * row.data.score:.1f}"
                say(one_line(f"  {rank or '-'}  {score}  {row.card.name} + {row.card.tool}"))
        say(f"leaderboard: {one_line(str(out / 'leaderboard.html'))}")
    if made.skipped:
        raise typer.Exit(EXIT_SOME_FAILED)
