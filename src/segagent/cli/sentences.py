"""``segagent sentences``: made sentences about annotated photographs, as a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import counting, print_object, reporting_errors, say


@reporting_errors
def sentences(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER...", help="COCO-format: instances.json and images/.", show_default=False),
    ],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new or empty folder.")],
    per_picture: Annotated[int, typer.Option("--per-picture", min=1, help="Most sentences with an object.")] = 2,
    absent: Annotated[
        float,
        typer.Option("--absent", min=0, max=1, help="Chance per picture, and kind, of one about what is not there."),
    ] = 0.0,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Pictures whose id is a multiple of 10, which no training uses.")
    ] = False,
    expressions: Annotated[
        Path | None,
        typer.Option("--expressions", help="A table (.tsv) of what people said of them: all of that, nothing made."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same sentences.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write sentences made from the outlines and categories of photographs: images/, masks/, manifest.json."""
    from segagent.imaging import whole_folder
    from segagent.learning.photographs.said import read_said
    from segagent.learning.photographs.sentences import SentenceRules, write_sentences

    said = None if expressions is None else read_said(expressions)
    rules = SentenceRules(per_picture, absent, held_out, seed, said)
    with counting("sentences", None, unit="photographs", quiet=as_json) as update, whole_folder(out) as part:
        kinds = write_sentences(part, folders, rules, lambda done: update(done, ""))
    if as_json:
        print_object({"manifest": str(out / "manifest.json"), "kinds": kinds, "seed": seed})
    else:
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        say(f"{sum(kinds.values())} sentences ({told}): {out / 'manifest.json'}")
