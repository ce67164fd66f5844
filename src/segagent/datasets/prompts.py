"""Images and sentences without masks: what is to be annotated, as a CSV table."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from segagent.core import BoolMask, InputError
from segagent.datasets.listed import ListedDataset, ListedSample
from segagent.datasets.sample import content_fingerprint, path_inside
from segagent.datasets.spec_options import parse_spec, write_spec


@dataclass(frozen=True, slots=True)
class NoMask:
    """The mask of a sample that has none yet."""

    def read(self, height: int, width: int) -> tuple[BoolMask, BoolMask | None]:
        """Raises ``ValueError``."""
        raise ValueError("has a sentence and no mask; there is nothing to compare with")


def open_prompts(spec: str) -> ListedDataset:
    """``prompts:FILE[:images=FOLDER]``: a UTF-8 CSV file whose first line names the columns.

    ``image`` (a path below the folder; default: the file's own) and ``text`` must be there; ``id`` (unique; default:
    the number of the row, from 1) and ``category`` may be. Raises ``InputError`` naming file and line.
    """
    path, options = parse_spec(spec, {"images": None})
    images_dir = Path(options["images"]) if "images" in options else path.parent
    try:
        content = path.read_bytes()
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); expected a CSV file with image,text") from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path}: not a UTF-8 CSV file ({error})") from error
    header = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"image", "text"} <= set(header) or len(set(header)) < len(header):
        raise InputError(
            f"{path}: the first line must name the columns, image,text and where wanted id,category; "
            f"got {','.join(header)!r:.120}"
        )
    samples = []
    seen: set[str] = set()
    for number, row in enumerate(rows[1:], 1):
        where = f"{path}, row {number}"
        if not row:
            continue
        if len(row) != len(header):
            raise InputError(f"{where}: has {len(row)} fields, expected {len(header)}; quote texts that hold commas")
        fields = dict(zip(header, (field.strip() for field in row), strict=True))
        image = path_inside(images_dir, fields["image"], where, "image")
        if not fields["text"]:
            raise InputError(f"{where}: the text is empty; say what to segment")
        sample_id = fields.get("id") or str(number)
        if sample_id in seen:
            raise InputError(f"{where}: id {sample_id!r:.80} is that of an earlier row too")
        seen.add(sample_id)
        name = image.relative_to(images_dir).as_posix()
        samples.append(
            ListedSample(sample_id, image, name, fields["text"], NoMask(), where, fields.get("category") or None)
        )
    fingerprint = content_fingerprint(content)
    return ListedDataset(
        write_spec("prompts", path, {"images": str(images_dir.resolve())}), fingerprint, samples, images_dir
    )
