"""Options that several commands have, and how they open a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from segagent.cli.console import warn

if TYPE_CHECKING:
    from segagent.datasets import Dataset

DATA_SET = "Data set"
"""The heading of options that say how a data set is read, or that go with one only."""

SeedOption: TypeAlias = Annotated[int, typer.Option("--seed", min=0, help="Drives all sampling.")]
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
