"""Masks out as pictures: a folder that ``FolderDataset`` opens again, with a table of what each mask is.

``images/`` holds the pictures, ``masks/`` one PNG per object (255 object, 0 rest), ``manifest.json`` the samples with
their provenance, and ``index.csv`` the same for spreadsheets.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segagent.annotation.interop.answers import Answer, ImageAnswers
from segagent.annotation.interop.pictures import Pictures
from segagent.annotation.interop.provenance import PROVENANCE_KEY
from segagent.imaging import save_png

COLUMNS = (
    "id", "image", "mask", "text", "category", "outcome", "made_by", "predicted_iou", "calibrated_iou", "accepted",
)  # fmt: skip


def write_mask_folder(images: Iterable[ImageAnswers], pictures: Pictures, folder: Path) -> None:
    """Fill ``folder``. An object that was not found has no mask (null): no object fits its words.

    Raises ``InputError`` where a picture cannot be read.
    """
    (folder / "masks").mkdir()
    number = 0
    with (
        (folder / "manifest.json").open("w", encoding="ascii") as manifest,
        (folder / "index.csv").open("w", encoding="utf-8", newline="") as table,
    ):
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(COLUMNS)
        manifest.write('{"samples": [')
        for image in images:
            if image.size is None:
                continue
            copied = f"images/{pictures.copy(image.image, folder / 'images')}"
            for answer in image.answers:
                mask = f"masks/{number:06d}.png"
                save_png(folder / mask, answer.mask)
                _write(manifest, rows, number, _entry(answer, copied, mask))
                number += 1
            for one in image.without:
                if one.reason == "not_found":
                    entry = {"id": one.object_id, "image": copied, "mask": None, "text": one.text}
                    _write(manifest, rows, number, {**entry, PROVENANCE_KEY: one.facts})
                    number += 1
        manifest.write("\n]}\n")


def _entry(answer: Answer, image: str, mask: str) -> dict[str, Any]:
    category = {} if answer.category is None else {"category": answer.category}
    named = {"id": answer.object_id, "image": image, "mask": mask, "text": answer.text}
    return {**named, **category, PROVENANCE_KEY: answer.facts}


def _write(manifest: Any, rows: Any, number: int, entry: dict[str, Any]) -> None:
    manifest.write((",\n" if number else "\n") + json.dumps(entry))
    values = {**entry[PROVENANCE_KEY], **entry}
    rows.writerow([_cell(values.get(name)) for name in COLUMNS])


def _cell(value: Any) -> str:
    """A value for a spreadsheet: nothing for None, and text that would be taken for a formula made harmless."""
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, bool) else str(value)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return f"'{text}" if isinstance(value, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
