"""Two states of a data set's annotations beside each other: what was added, removed and changed, with pictures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.annotation.diff.comparing import compare
from segagent.annotation.diff.gallery import draw_gallery
from segagent.annotation.diff.matching import Matching
from segagent.annotation.diff.page import diff_markdown, diff_page
from segagent.annotation.diff.sources import Annotation, open_source
from segagent.imaging.writing import made_folder, write_bytes

__all__ = ["DIFF_SCHEMA", "Compared", "Matching", "write_diff"]

DIFF_SCHEMA = "segagent.diff/1"

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Compared:
    """``result``: counts and files, as JSON. ``missing``: which images could not be read; ``note``: why none could."""

    result: dict[str, Any]
    missing: list[str]
    note: str


def write_diff(
    before: str | Path,
    after: str | Path,
    out: str | Path,
    *,
    images: str | Path | None = None,
    matching: Matching = "auto",
    gallery: int = 24,
    watch: Watch = lambda what, done, total: None,
) -> Compared:
    """Write index.html, diff.md and diff.json into the folder ``out``.

    Args:
        before: a COCO file or a run folder.
        after: the same.
        out: made where it is missing.
        images: the folder with the images of COCO files; None to look beside them.
        matching: which annotation is which; see :mod:`segagent.annotation.diff.matching`.
        gallery: so many of the largest changes get pictures, and a third as many removed and added masks each.
        watch: told (what, done, total).

    Raises:
        InputError: for a file or run that cannot be read, and where nothing can be written.
    """
    old = open_source(before, images, lambda done, total: watch("reading before", done, total))
    new = open_source(after, images, lambda done, total: watch("reading after", done, total))
    folder = made_folder(out)
    diff = compare(old, new, matching)
    drawn = draw_gallery(diff, gallery, lambda done, total: watch("drawing", done, total))
    summary = diff.summary()
    whole = {
        "schema": DIFF_SCHEMA,
        **summary,
        "changes": [one.to_dict() for one in diff.changed],
        "removed_annotations": [_told(one) for one in diff.removed],
        "added_annotations": [_told(one) for one in diff.added],
    }
    write_bytes(folder / "diff.json", json.dumps(whole, allow_nan=False).encode("ascii") + b"\n")
    write_bytes(folder / "diff.md", diff_markdown(diff).encode("utf-8", "backslashreplace"))
    write_bytes(folder / "index.html", diff_page(diff, drawn).encode("utf-8", "backslashreplace"))
    blind = old.load_image is None and new.load_image is None
    files = {"page": "index.html", "markdown": "diff.md", "json": "diff.json"}
    result = {**summary, **{name: str(folder / file) for name, file in files.items()}}
    return Compared(result, drawn.missing, (new.no_images or old.no_images) if blind and drawn.groups else "")


def _told(one: Annotation) -> dict[str, Any]:
    return {"id": one.annotation_id, "image": one.image, "category": one.category, "area": one.area}
