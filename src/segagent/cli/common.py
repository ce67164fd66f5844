"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

TextTemplateOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--text-template",
        metavar="TEXT",
        help="The sentence of data sets that have categories only: 'the {category}'. The same as text= in DATASET.",
        show_default=False,
    ),
]
