"""Images and sentences without masks: what is to be annotated, as a CSV table."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from segagent.core import InputError
from segagent.core.texts import decode_text, read_file
from segagent.datasets.listed import ListedDataset, ListedSample
from segagent.datasets.mask_sources import NoMask
from segagent.datasets.sample import content_fingerprint, path_inside
from segagent.datasets.spec_options import parse_spec, write_spec

_DIVIDERS = ",;\t"
_NEEDED = {"image", "text"}
_NONE = NoMask("has a sentence and no mask; there is nothing to compare with")


def open_prompts(spec: str) -> ListedDataset:
    """``prompts:FILE[:images=FOLDER]``: a CSV file, UTF-8 or UTF-16, whose first line names the columns.

    Commas, semicolons or tabs divide the fields: what the first line is divided by. ``image`` (a path below the folder;
    default: the file's own) and ``text`` must be there; ``id`` (unique; default: the number of the row, from 1) and
    ``category`` may be. Rows whose cells are all empty are passed over. Raises ``InputError`` naming file and line.
    """
    path, options = parse_spec(spec, {"images": None})
    return prompts_file(path, Path(options["images"]) if "images" in options else path.parent)


def prompts_file(path: Path, images_dir: Path) -> ListedDataset:
    """The images below a folder, and their sentences in a CSV file as :func:`open_prompts` reads it."""
    content = read_file(path, "expected a CSV file with image,text")
    rows = _rows(decode_text(content, path), path)
    header = [name.lower() for name in next((row for _, row in rows if any(row)), [])]
    while header and not header[-1]:
        header.pop()
    if not _NEEDED.issubset(header) or len(set(header)) < len(header):
        raise InputError(
            f"{path}: the first line must name the columns, image,text and where wanted id,category, divided by "
            f"commas, semicolons or tabs; got {','.join(header)!r:.120}"
        )
    samples = []
    seen: set[str] = set()
    for number, (line, row) in enumerate(rows, 1):
        if not any(row):
            continue
        where = f"{path}, line {line}"
        if len(row) < len(header) or any(row[len(header) :]):
            raise InputError(
                f"{where}: has {len(row)} fields, expected {len(header)}; quote texts that hold what divides fields"
            )
        fields = dict(zip(header, row, strict=False))
        image = path_inside(images_dir, fields["image"], where, "image")
        if not fields["text"]:
            raise InputError(f"{where}: the text is empty; say what to segment")
        sample_id = fields.get("id") or str(number)
        if sample_id in seen:
            raise InputError(f"{where}: id {sample_id!r:.80} is that of an earlier row too")
        seen.add(sample_id)
        name = image.relative_to(images_dir).as_posix()
        samples.append(
            ListedSample(sample_id, image, name, fields["text"], _NONE, where, fields.get("category") or None)
        )
    fingerprint = content_fingerprint(content)
    return ListedDataset(
        write_spec("prompts", path, {"images": str(images_dir.resolve())}), fingerprint, samples, images_dir
    )


def _rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Every row: its line in the file, from 1, and its cells without white space around them.

    Excel's ``sep=;`` before the header says what divides the fields, else what makes the header name an image and a
    text.
    """
    told = re.match(r"sep=(.)[\r\n]+", text)
    first = re.split(r"[\r\n]", text[told.end() if told else 0 :].lstrip(), maxsplit=1)[0]
    divider = told[1] if told else next((mark for mark in _DIVIDERS if _NEEDED.issubset(_names(first, mark))), ",")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=divider)
    line = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(f"{path}, line {line}: not a CSV file ({error})") from error
        if row is None:
            return
        cells = [cell.strip() for cell in row]
        if not (told and line == 1):
            yield line, cells
        line = reader.line_num + 1


def _names(first: str, divider: str) -> set[str]:
    return {name.strip().lower() for name in next(csv.reader([first], delimiter=divider), [])}
