"""``segagent corrupt``: a data set whose masks are spoiled in known ways, to try audits and repairs on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import CrowdsOption, JsonOption, open_data
from segagent.cli.console import EXIT_SOME_FAILED, counting, print_object, reporting_errors, say, warn

_MAX_LISTED = 20


@reporting_errors
def corrupt(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Any data set, for example scenes:100.", show_default=False)
    ],
    *,
    crowds: CrowdsOption = False,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new or empty folder.")],
    share: Annotated[float, typer.Option("--share", min=0, max=1, help="This share of masks is spoiled.")] = 0.5,
    per_image: Annotated[
        int | None, typer.Option("--per-image", min=1, help="At most so many objects of an image. [default: all]")
    ] = None,
    max_images: Annotated[
        int | None, typer.Option("--max-images", min=1, help="The first so many images. [default: all]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides what is spoiled and how.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write DATASET with masks spoiled in known ways, and the truth beside it: to see what audit and refine find."""
    from segagent.datasets.corrupted import TRUTH_FILE, Spoiling, write_corrupted
    from segagent.imaging import whole_folder

    opened = open_data(dataset, crowds=crowds)
    spoiling = Spoiling(share, per_image, max_images, seed)
    total = min(opened.num_images, max_images or opened.num_images)
    with counting("corrupt", total, unit="images", quiet=as_json) as update, whole_folder(out) as partial:
        counts, failures = write_corrupted(partial, opened, spoiling, lambda done: update(done, ""))
    if as_json:
        failed = [{"sample_id": one.sample_id, "image": one.image, "reason": one.reason} for one in failures]
        about = {"folder": str(out), "truth": str(out / TRUTH_FILE), "kinds": counts, "seed": seed}
        print_object({**about, "failures": failed})
    else:
        for one in failures[:_MAX_LISTED]:
            warn(f"sample {one.sample_id} is left out: {one.reason}")
        if len(failures) > _MAX_LISTED:
            warn(f"and {len(failures) - _MAX_LISTED} more samples; --json lists all")
        if not counts:
            say("nothing was spoiled: the data set holds no object")
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        say(f"{sum(counts.values())} objects of {total} images: {kinds or 'none'}")
        say(f"data set {out}; truth {out / TRUTH_FILE}; next: segagent audit {out} -o RUN")
    if failures:
        raise typer.Exit(EXIT_SOME_FAILED)
