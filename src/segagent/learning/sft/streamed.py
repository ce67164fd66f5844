"""Examples that stay on the disk: found by an index of where lines begin, read when their turn comes.

A file of trajectories is read as it is; examples that are no trajectory's alone (those of StaR+, auxiliary ones) are
records of a journal too, see :func:`segagent.learning.examples.examples_record`. The index is one row of numbers per
line, memory-mapped, so memory does not grow with the examples and all processes of a machine share it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from segagent.core import SCHEMA, InputError, Trajectory
from segagent.core.recent import Recent
from segagent.core.texts import read_json
from segagent.imaging import whole_file, write_bytes
from segagent.learning.examples import EXAMPLES_SCHEMA, Example, box_example, examples_of, sft_examples
from segagent.runs.journal import placed_lines, record_at

_ROW = np.dtype(
    [("first", "<i8"), ("offset", "<i8"), ("examples", "<i4"), ("unit", "<i4"), ("size", "<i4", 2), ("words", "<i4")]
)
"""Of a line: the number of its first example, where it begins, how many examples it has, which image they are about,
(height, width), and bytes of its sentence, at least as many as any tokenizer makes tokens of it."""
_LINES_KEPT = 512
_STRING = rb'"((?:[^"\\]|\\.)*)"'
_HEAD = re.compile(
    rb'\{"unit": \[(\d+), \d+, \d+\], "schema": "segagent\.(trajectory|examples)/1", "sample_id": '
    + _STRING
    + rb', "image": '
    + _STRING
    + rb', "height": (\d+), "width": (\d+), "text": '
    + _STRING
    + rb", "
)


class StreamedExamples(Sequence[Example]):
    """The examples of a journal, by number, in its order. Reading one reads its line, of which the last few are kept.

    ``boxes``: with an example that teaches a first box before each trajectory that begins with one. ``rows``: see the
    module; ``digest`` names what the file holds.
    """

    def __init__(self, path: Path, rows: NDArray[Any], digest: str, *, boxes: bool) -> None:
        self.path = path
        self.rows = rows
        self.digest = digest
        self._boxes = boxes
        self._lines: Recent[int, list[Example]] = Recent(_LINES_KEPT)

    def __len__(self) -> int:
        return int(self.rows[-1]["first"] + self.rows[-1]["examples"]) if len(self.rows) else 0

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        """Raises ``InputError`` where the file has changed since the index was made."""
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = int(np.searchsorted(self.rows["first"], index, side="right")) - 1
        return self.of_row(row)[index - int(self.rows[row]["first"])]

    def __iter__(self) -> Iterator[Example]:
        for row in range(len(self.rows)):
            yield from self.of_row(row)

    def of_row(self, row: int) -> list[Example]:
        """All examples of a line."""
        place = int(self.rows[row]["offset"])
        return self._lines.made(place, lambda: _examples(record_at(self.path, place), self.path, boxes=self._boxes))


def stream_examples(path: Path, index: Path, *, boxes: bool = False) -> StreamedExamples:
    """The examples of the journal ``path``, trajectories and examples alike; other records teach nothing.

    The index is made at ``index`` (and ``index`` with the ending ``.json``) unless it is there for the file as it is.
    Only one process may make it. Raises ``InputError`` naming the line that is damaged or cannot be learnt from.
    """
    beside = index.with_name(index.name + ".json")
    state = path.stat()
    wanted = {"size": state.st_size, "time": state.st_mtime_ns, "boxes": boxes, "layout": str(_ROW)}
    known = read_json(beside) if beside.is_file() and index.is_file() else None
    if not isinstance(known, dict) or any(known.get(name) != value for name, value in wanted.items()):
        known = {**wanted, "digest": _write_index(path, index, boxes=boxes)}
        write_bytes(beside, json.dumps(known).encode() + b"\n")
    rows: NDArray[Any] = np.memmap(index, _ROW, "r") if index.stat().st_size else np.zeros(0, _ROW)
    return StreamedExamples(path, rows, str(known["digest"]), boxes=boxes)


def _write_index(path: Path, index: Path, *, boxes: bool) -> str:
    """Write the rows of ``path``; gives the digest of what it holds."""
    digest = hashlib.blake2b(digest_size=16)
    first = 0
    with whole_file(index) as file:
        rows: list[tuple[Any, ...]] = []
        for offset, line in placed_lines(path):
            digest.update(line)
            row = _row(line, path, boxes=boxes)
            if row is None or not row[0]:
                continue
            rows.append((first, offset, *row))
            first += row[0]
            if len(rows) == 4096:
                file.write(np.array(rows, _ROW).tobytes())
                rows.clear()
        file.write(np.array(rows, _ROW).tobytes())
    return digest.hexdigest()


def _row(line: bytes, path: Path, *, boxes: bool) -> tuple[int, int, tuple[int, int], int] | None:
    """Number of examples, unit, size and bytes of words of a line; None for one that teaches nothing.

    What stands between quotation marks cannot be mistaken for a name of JSON's: its own marks are written ``\\"``.
    """
    head = _HEAD.match(line)
    plain = head is not None and b'"reward": null' not in line and line.rstrip().endswith(b'"}')
    if head is None or not plain:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: a line is no JSON object ({error}); make the file again") from error
        if record.get("schema") not in (SCHEMA, EXAMPLES_SCHEMA):
            return None
        found = _examples(record, path, boxes=boxes)
        unit = record.get("unit")
        place = unit[0] if isinstance(unit, list) and unit and isinstance(unit[0], int) else 0
        size = int(record["height"]), int(record["width"])
        return len(found), place, size, _words(json.dumps(record["text"])[1:-1].encode())
    unit, height, width = (int(head[number]) for number in (1, 5, 6))
    if head[2] == b"trajectory":
        num = line.count(b'"parent": ') + 1 + (boxes and b'"start": {"kind": "box"' in line)
    else:
        num = line.count(b'"asks": ')
    return num, unit, (height, width), _words(head[7])


def _words(text: bytes) -> int:
    """At most so many bytes a sentence, given as JSON, comes to in a prompt, where likely markup is escaped."""
    return 6 * len(text) - 5 * len(text.translate(None, b"<[{"))


def _examples(record: dict[str, Any], path: Path, *, boxes: bool) -> list[Example]:
    where = f"{path}, sample {record.get('sample_id')!r:.80}"
    try:
        if record.get("schema") == SCHEMA:
            trajectory = Trajectory.from_dict(record)
            before = box_example(trajectory) if boxes else None
            return [*([before] if before else []), *sft_examples(trajectory)]
        if record.get("schema") == EXAMPLES_SCHEMA:
            return examples_of(record)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: cannot be learnt from ({error})") from error
    raise InputError(f"{where}: holds no examples any more; was the file changed?")
