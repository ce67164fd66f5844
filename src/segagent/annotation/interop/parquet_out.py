"""Parquet out, as the Hugging Face ``datasets`` library writes it: a row per object, its picture and mask inside.

``ParquetDataset`` opens the file again, and so does ``load_dataset("parquet", ...)``, with pictures decoded: the
features are in the file's metadata. Needs pyarrow (extra ``parquet``).
"""

from __future__ import annotations

import json
from typing import IO, Any

from segagent.annotation.interop.answers import Answer, Answers, Without
from segagent.annotation.interop.pictures import Pictures
from segagent.datasets.parquet import arrow
from segagent.imaging.writing import encode_png

_ROWS_TOGETHER = 64
"""Rows of a row group: what a reader, and this writer, holds in memory at once."""

_TEXTS = ("text", "category", "sample_id", "image_name", "outcome", "provenance")
_NUMBERS = ("predicted_iou", "calibrated_iou")


def write_parquet(answers: Answers, pictures: Pictures, out: IO[bytes]) -> None:
    """Write all answers, and objects that were not found with null for a mask.

    Raises ``MissingExtraError`` without pyarrow, ``InputError`` where a picture cannot be read.
    """
    pyarrow, parquet = arrow()
    picture = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema(
        [
            ("image", picture),
            ("mask", picture),
            *((name, pyarrow.string()) for name in _TEXTS),
            *((name, pyarrow.float64()) for name in _NUMBERS),
            ("accepted", pyarrow.bool_()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": _features()}})},
    )
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for image in answers.by_image():
            found = [_row(answer) for answer in image.answers]
            found += [_row_without(one) for one in image.without if one.reason == "not_found"]
            if not found:
                continue
            content, name = pictures.content(image.image)
            for row in found:
                rows.append({"image": {"bytes": content, "path": name}, **row})
                if len(rows) == _ROWS_TOGETHER:
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
                    rows = []
        writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _features() -> dict[str, Any]:
    kinds = {**dict.fromkeys(_TEXTS, "string"), **dict.fromkeys(_NUMBERS, "float64"), "accepted": "bool"}
    values = {name: {"dtype": kind, "_type": "Value"} for name, kind in kinds.items()}
    return {"image": {"_type": "Image"}, "mask": {"_type": "Image"}, **values}


def _row(answer: Answer) -> dict[str, Any]:
    category = None if answer.category is None else _whole(answer.category)
    mask = {"bytes": encode_png(answer.mask), "path": None}
    return {**_told(answer), "category": category, "mask": mask, "accepted": answer.accepted}


def _row_without(one: Without) -> dict[str, Any]:
    """An object that was not found: its mask is null."""
    return {**_told(one), "mask": None}


def _told(one: Answer | Without) -> dict[str, Any]:
    return {
        "text": _whole(one.text),
        "sample_id": _whole(one.object_id),
        "image_name": _whole(one.image),
        "outcome": one.facts["outcome"],
        "provenance": json.dumps(one.facts),
        **{key: one.facts.get(key) for key in _NUMBERS},
    }


def _whole(text: str) -> str:
    """Text that UTF-8 can hold: halves of surrogate pairs exchanged for question marks."""
    return text.encode("utf-8", "replace").decode("utf-8")
