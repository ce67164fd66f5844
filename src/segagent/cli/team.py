"""``segagent merge``, ``split``, ``agreement`` and ``notes``: several batches, and several people at one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import JsonOption, OnlyOption, chosen_run
from segagent.cli.console import one_line, print_object, reporting_errors, say, waiting, warn
from segagent.cli.summary import RunArgument

if TYPE_CHECKING:
    from segagent.annotation.team.agreement import Figures
    from segagent.evaluation.bootstrap import Interval

_MAX_LISTED = 20
ForceOption = Annotated[bool, typer.Option("--force", help="Replace what an earlier command of the kind wrote there.")]


@reporting_errors
def merge(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders of one job.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep", metavar="first|last", help="Whose answer counts where runs have different ones of an object."
        ),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Join batches: runs of one job, over one data set or several, as one run with one list of classes.

    OUT is a run like others for review, export, summary, check and diff; people's records are joined in order of time.
    """
    from segagent.annotation.team import merge_runs
    from segagent.core import InputError

    if keep not in (None, "first", "last"):
        raise InputError(f"--keep {keep!r:.40}: expected first or last")
    with waiting("joining", quiet=as_json):
        made = merge_runs(runs, out, keep=keep, force=force)  # type: ignore[arg-type]  # checked above
    if as_json:
        print_object(made.to_dict())
    else:
        for line in made.warnings:
            warn(line)
        twice = f", {made.num_twice} of them in several runs" if made.num_twice else ""
        say(f"{made.num_objects} objects of {len(runs)} runs{twice}; {made.num_failed} failed; "
            f"{made.num_events} events of people")  # fmt: skip
        if made.renamed:
            say("ids or image names were the same in different data sets: those of each have its name in front")
        if made.classes:
            say(f"{len(made.classes)} classes: {one_line(', '.join(made.classes))[:2000]}")
        say(f"run: {one_line(str(out))}; next: segagent review {one_line(str(out))}")


@reporting_errors
def split(
    run: RunArgument,
    *,
    people: Annotated[str, typer.Option("--people", metavar="N|NAME,...", help="To how many, or to whom.")],
    overlap: Annotated[
        float, typer.Option("--overlap", help="The share of objects that a second person looks at too, from 0 to 1.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Deals otherwise.")] = 0,
    only: OnlyOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write. [default: RUN/assignments.json]", show_default=False),
    ] = None,
    force: ForceOption = False,
    as_json: JsonOption = False,
) -> None:
    """Deal a run's objects out to several people: as many each and as hard, image by image.

    segagent review RUN --serve --assign FILE --by NAME shows each person their share.
    """
    from segagent.annotation.batch import open_run
    from segagent.annotation.interop.outputs import new_file
    from segagent.annotation.team import split_run
    from segagent.annotation.team.splitting import ASSIGNMENTS_FILE, people_named

    opened = chosen_run(open_run(run), only)
    dealt = split_run(opened, people_named(people), overlap, seed)
    file = run / ASSIGNMENTS_FILE if out is None else out
    with new_file(file, force=force) as written:
        written.write(dealt.content())
    shares = {person: len(dealt.share(person)) for person in dealt.people}
    if as_json:
        print_object({"file": str(file), "objects": len(dealt.objects), "shared": dealt.num_shared, "shares": shares})
        return
    say(f"{len(dealt.objects)} objects, {dealt.num_shared} of them for two people: {one_line(str(file))}")
    for person, number in shares.items():
        say(f"  {one_line(person)}: {number} objects")
    say(f"next: segagent review {one_line(str(run))} --serve --assign {one_line(str(file))} --by NAME")


@reporting_errors
def agreement(
    run: RunArgument,
    *,
    after_seeing: Annotated[
        bool, typer.Option("--after-seeing", help="Words given after another's work was seen count too.")
    ] = False,
    only: OnlyOption = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Drives the intervals.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure how far the people who worked on RUN agree: on masks (IoU) and on what they say of the run's (kappa)."""
    from segagent.annotation.batch import open_run
    from segagent.annotation.team import agreement_of

    found = agreement_of(chosen_run(open_run(run), only), after_seeing=after_seeing, seed=seed)
    if as_json:
        print_object(found.to_dict())
        return
    for (first, second), figures in found.pairs.items():
        say(one_line(f"{first} and {second}: {_words(figures, 'kappa')}"))
    if found.all is not None:
        say(f"all together: {_words(found.all, 'alpha')}")
    if found.num_after and not found.after_seeing:
        say(f"{found.num_after} words were given after another's work was seen and do not count (--after-seeing)")
    elif found.num_after:
        warn(
            f"{found.num_after} words were given after another's work was seen, and count: people seem to agree better "
            "than they do"
        )
    apart = [one for one in found.compared if one.differs]
    if apart:
        say(f"furthest apart{f', {_MAX_LISTED} of {len(apart)}' if len(apart) > _MAX_LISTED else ''}:")
    for one in apart[:_MAX_LISTED]:
        iou = "" if one.iou is None else f", IoU {one.iou:.2f}"
        (first, second), (word, other) = one.people, one.words
        say(one_line(f"  object {one.object_id} in {one.image}: {first} {word}, {second} {other}{iou}"))


def _words(figures: Figures, name: str) -> str:
    known = math.isfinite(figures.kappa.value)
    kappa = f"{name} {_shown(figures.kappa)}" if known else f"no {name}, for all say the same"
    masks = "no masks" if figures.iou is None else f"{figures.num_masks} masks with IoU {_shown(figures.iou)}"
    return f"{figures.num} objects, the same word on {_shown(figures.same)}, {kappa}; {masks}"


def _shown(interval: Interval) -> str:
    return str(interval) if math.isfinite(interval.low) else f"{interval.value:.3f} (no interval)"


@reporting_errors
def notes(
    run: RunArgument,
    *,
    search: Annotated[str, typer.Option("--search", metavar="WORDS", help="Only notes with all of these words.")] = "",
    only: OnlyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what people noted about the objects of RUN."""
    from segagent.annotation.batch import open_run
    from segagent.annotation.team import notes_of

    found = list(notes_of(chosen_run(open_run(run), only), search))
    if as_json:
        print_object({"run": str(run), "search": search, "notes": [note.to_dict() for note in found]})
        return
    for note in found:
        who = ", ".join(one for one in (note.by, note.when) if one)
        say(one_line(f"{note.object_id} in {note.image}{f' ({who})' if who else ''}: {note.text}"))
    say(f"{len(found)} notes" + (f" with {one_line(search)!r}" if search else ""))
