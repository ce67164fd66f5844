"""Options that several commands have, and how they open a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from segagent.cli.console import warn

if TYPE_CHECKING:
    from segagent.datasets import Dataset

TextTemplateOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--text-template",
        metavar="TEXT",
        help="The sentence of data sets that have categories only: 'the {category}'. The same as text= in DATASET.",
        show_default=False,
    ),
]

CrowdsOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--crowds",
        help="COCO: take annotations that mark crowds (iscrowd 1) as objects. The same as crowds=objects in DATASET.",
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
