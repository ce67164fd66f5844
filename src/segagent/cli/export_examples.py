"""``segagent export-examples``: training data for other trainers."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segagent.cli.common import JsonOption
from segagent.cli.console import counting, one_line, print_object, reporting_errors, say

if TYPE_CHECKING:
    from segagent.learning.exports import Exported


class Reader(StrEnum):
    """What is to read it."""

    LLAMA_FACTORY = "llama-factory"
    TRL = "trl"
    PUBLISHED = "published"


class Columns(StrEnum):
    """How TRL's rows are divided."""

    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt-completion"


@reporting_errors
def export_examples(
    trajectories: Annotated[
        list[Path], typer.Argument(metavar="TRAJ...", help="Files of 'segagent trajectories'.", show_default=False)
    ],
    to: Annotated[
        Reader,
        typer.Option(
            "--to",
            help="llama-factory: a folder with dataset_info.json. trl: a folder of Hugging Face parquet. published: "
            "one JSON file of the published SegAgent project.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to make; for published the file to write.")],
    chat_format: Annotated[
        str | None,
        typer.Option(
            "--chat-format",
            metavar="FORMAT",
            help="llama-factory, trl: whose prompt, coordinates and replies, as ?format= of a policy; a family, or a "
            "file such as segagent_format.json of a model. Options may follow: qwen3?grid=8.",
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        Columns,
        typer.Option(
            "--columns",
            help="trl: one column of messages, or prompt and completion; of these TRL learns the completion only.",
        ),
    ] = Columns.MESSAGES,
    as_json: JsonOption = False,
) -> None:
    """Write the examples of trajectories as training data for LLaMA-Factory, TRL or the published project.

    Pictures have the mask drawn in, and prompts and replies are worded, exactly as a policy of that chat format is
    shown and asked. OUT appears when it is complete.
    """
    from segagent.core import SpecError
    from segagent.learning.exports import export_format, write_llama_factory, write_published, write_trl

    if to is Reader.PUBLISHED and chat_format is not None:
        raise SpecError("--chat-format does not go with --to published, whose files hold clicks and masks, no words")
    if to is not Reader.PUBLISHED and chat_format is None:
        raise SpecError(f"--to {to.value} needs --chat-format: what the model is to be asked, and in which coordinates")
    if to is not Reader.TRL and columns is not Columns.MESSAGES:
        raise SpecError(f"--columns goes with --to trl only, not with {to.value}")
    fmt = export_format(chat_format) if chat_format is not None else None
    with counting("export", _num_lines(trajectories), unit="trajectories", quiet=as_json) as update:

        def progress(exported: Exported) -> None:
            update(exported.num_trajectories, f"{exported.num_written} written")

        if fmt is None:
            exported = write_published(trajectories, out, progress)
        elif to is Reader.TRL:
            exported = write_trl(trajectories, out, fmt, progress, columns=columns.value)
        else:
            exported = write_llama_factory(trajectories, out, fmt, progress)
    if as_json:
        print_object(
            {
                "out": str(out),
                "num_trajectories": exported.num_trajectories,
                "num_written": exported.num_written,
                "num_left_out": exported.num_left_out,
            }
        )
        return
    what = "episodes" if to is Reader.PUBLISHED else "examples"
    why = "start from something" if to is Reader.PUBLISHED else "have no whole reply"
    say(
        f"{exported.num_written} {what} of {exported.num_trajectories} trajectories "
        f"({exported.num_left_out} that {why} left out): {one_line(str(out))}"
    )


def _num_lines(paths: list[Path]) -> int | None:
    """How many records the files hold, their headers left out; None where one cannot be read, which is told later."""
    total = 0
    try:
        for path in paths:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    total += chunk.count(b"\n")
    except OSError:
        return None
    return max(total - len(paths), 0)
