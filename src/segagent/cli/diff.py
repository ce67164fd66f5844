"""``segagent diff``: what changed between two states of a data set's annotations."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import EXIT_SOME_FAILED, one_line, phases, print_object, reporting_errors, say, warn

_MAX_LISTED = 20


class Match(StrEnum):
    """Which annotation before is which one after."""

    AUTO = "auto"
    ID = "id"
    OVERLAP = "overlap"


@reporting_errors
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A COCO file or a run.", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="A COCO file or a run.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    images: Annotated[
        Path | None, typer.Option("--images", help="The folder with the images of the files.", show_default=False)
    ] = None,
    match: Annotated[
        Match, typer.Option("--match", help="By id, by overlap of the masks, or by id as far as ids are kept.")
    ] = Match.AUTO,
    gallery: Annotated[int, typer.Option("--gallery", min=0, help="Pictures of so many of the largest changes.")] = 24,
    as_json: JsonOption = False,
) -> None:
    """Compare two states of annotations: which were added, removed or changed, and by how much.

    Writes OUT/index.html (one file, opens from disk), diff.md and diff.json.
    """
    from segagent.annotation.diff import write_diff

    with phases(unit="annotations", quiet=as_json) as update:
        made = write_diff(
            before,
            after,
            out,
            images=images,
            matching=match.value,
            gallery=gallery,
            watch=lambda what, done, total: update(what, done, total, ""),
        )
    result = made.result
    if as_json:
        print_object(result)
    else:
        if made.note:
            warn(f"masks are drawn on a blank ground: {made.note}")
        told = [*result["warnings"], *result["problems"], *(f"no picture: {line}" for line in made.missing)]
        for line in told[:_MAX_LISTED]:
            warn(line)
        if len(told) > _MAX_LISTED:
            warn(f"and {len(told) - _MAX_LISTED} more; diff.json and the page tell all")
        if not any(result[name] for name in ("unchanged", "changed", "removed", "added")):
            say("nothing was compared: neither side has an annotation that could be")
        counts = ", ".join(f"{result[name]} {name}" for name in ("unchanged", "changed", "removed", "added"))
        lost = f", {result['not_compared']} not compared" if result["not_compared"] else ""
        say(f"{counts}{lost}; matched {result['matched']}")
        say(f"diff: {one_line(result['page'])}")
    if result["problems"] or made.missing:
        raise typer.Exit(EXIT_SOME_FAILED)
