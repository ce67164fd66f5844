"""``segagent scenes``: generated scenes as a data set folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import counting, print_object, reporting_errors, say


class Split(StrEnum):
    """The generator's random streams; scenes of different splits are never the same."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


@reporting_errors
def scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.", show_default=False)],
    num: Annotated[int, typer.Option("--num", min=1, max=10_000_000, help="How many scenes.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same scenes.")] = 1,
    split: Annotated[Split, typer.Option("--split", help="Random stream; streams have no scene in common.")] = (
        Split.TRAIN
    ),
    as_json: JsonOption = False,
) -> None:
    """Write generated scenes: images/, masks/, manifest.json with a sentence per sample."""
    import json
    import time

    from segagent.datasets.scenes.export import write_scenes
    from segagent.imaging import whole_folder

    began = time.monotonic()
    with counting("scenes", num, unit="scenes", quiet=as_json) as update, whole_folder(out) as partial:
        manifest = write_scenes(partial, num=num, seed=seed, split=split.value, progress=lambda done: update(done, ""))
        num_samples = len(json.loads(manifest.read_text(encoding="utf-8"))["samples"])
    seconds = time.monotonic() - began
    if as_json:
        result = {"manifest": str(out / manifest.name), "num_scenes": num, "num_samples": num_samples}
        print_object({**result, "split": split.value, "seed": seed, "seconds": round(seconds, 3)})
    else:
        say(f"{num} scenes with {num_samples} sentences in {seconds:.1f} s: {out / manifest.name}")
