"""Options that several commands have, and how they open a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from segagent.cli.console import warn

if TYPE_CHECKING:
    from segagent.annotation.batch import Run
    from segagent.annotation.batch.choosing import Only
    from segagent.datasets import Dataset

DATA_SET = "Data set"
"""The heading of options that say how a data set is read, or that go with one only."""

SeedOption: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Drives all sampling.")]
ToolOption: TypeAlias = Annotated[str, typer.Option("--tool", help="What turns clicks into masks.")]
JsonOption: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object instead of a summary, and no progress.")
]
TextTemplateOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--text-template",
        metavar="TEXT",
        help="The sentence of data sets that have categories only: 'the {category}'. The same as text= in DATASET.",
        show_default=False,
        rich_help_panel=DATA_SET,
    ),
]

CrowdsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--crowds",
        help="COCO: take annotations that mark crowds (iscrowd 1) as objects. The same as crowds=objects in DATASET.",
        rich_help_panel=DATA_SET,
    ),
]


OnlyOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="CONDITION",
        help="Only some objects: image=NAME or a pattern like image=day1/*, category=NAME, id=ID, id=@FILE, doubtful "
        "(the policy doubts them). Repeatable: any of one kind, and all kinds.",
        show_default=False,
    ),
]
"""Of commands that make runs it is about a data set, of the others about a run."""

GuidelinesOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--guidelines",
        metavar="FILE",
        help="The project's labelling rules, a text file: language models read them with every question, people beside "
        "each object.",
        show_default=False,
        rich_help_panel=DATA_SET,
    ),
]


def parse_only(conditions: list[str] | None) -> Only:
    """The choice that ``--only`` makes. Raises ``InputError``."""
    from segagent.annotation.batch.choosing import Only

    return Only.parse(conditions or ())


def chosen_run(run: Run, conditions: list[str] | None) -> Run:
    """``run`` with the objects alone that ``--only`` takes; a warning for each condition that fits nothing.

    Raises ``InputError`` where no object is left.
    """
    from segagent.annotation.team import only_these

    return only_these(run, parse_only(conditions), warn)


def open_data(spec: str, text_template: str | None = None, *, crowds: bool = False) -> Dataset:
    """:func:`segagent.datasets.open_dataset`, and a warning on stderr for everything that the data set leaves out.

    Raises ``InputError`` also for a data set that leaves everything out.
    """
    from segagent.datasets import open_dataset

    opened = open_dataset(spec, text_template, crowds=crowds)
    tell_notes(opened)
    return opened


def tell_notes(dataset: Dataset) -> None:
    """Warn of what a data set leaves out; see :func:`open_data`."""
    from segagent.core import InputError
    from segagent.datasets import ListedDataset

    if isinstance(dataset, ListedDataset) and dataset.notes:
        if not len(dataset):
            raise InputError(f"{'; '.join(dataset.notes)}; nothing is left to work on")
        for note in dataset.notes:
            warn(note)
