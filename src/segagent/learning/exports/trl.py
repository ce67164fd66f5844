"""TRL's conversational form as Hugging Face parquet: pictures inside the files, decoded by ``datasets`` as images.

Files::

    OUT/data/train-00000-of-00002.parquet    ``load_dataset(OUT, split="train")``
    OUT/segagent_format.json                 the chat format, which a model trained on this has to be used with

A row has ``images`` (structures of ``bytes`` and ``path``), ``segagent`` (the example as JSON, which trainers leave
alone) and either ``messages``, or ``prompt`` and ``completion``. A message's content is a list of parts,
``{"type": "image"}`` for each picture, then ``{"type": "text", "text": ..}``. TRL's trainer takes the loss of
``messages`` over all tokens, that of ``prompt`` and ``completion`` over the completion only.

Needs pyarrow, which the extra ``parquet`` installs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from segagent.core import InputError
from segagent.core.recent import Recent
from segagent.datasets.parquet import arrow
from segagent.imaging import load_image, quick_png, whole_folder
from segagent.learning.exports.conversations import Conversation, example_of_note
from segagent.learning.exports.llama_factory import FORMAT_FILE
from segagent.learning.exports.run import PNGS_KEPT, Exported, ExportWatch, conversations, nobody, open_files
from segagent.policies.chat import ChatFormat, format_to_dict

Columns: TypeAlias = Literal["messages", "prompt-completion"]
"""``messages`` in one column, or the prompt and the reply in two."""

COLUMNS: tuple[Columns, ...] = get_args(Columns)

_ROWS_PER_GROUP = 100
_BYTES_PER_GROUP = 32 << 20
_BYTES_PER_FILE = 400 << 20


def messages_of(one: Conversation, columns: Columns) -> dict[str, list[dict[str, Any]]]:
    """The columns with messages of a row."""
    parts = [{"type": "image", "text": None} for _ in one.pictures]
    user = {"role": "user", "content": [*parts, {"type": "text", "text": one.prompt}]}
    assistant = {"role": "assistant", "content": [{"type": "text", "text": one.reply}]}
    return {"messages": [user, assistant]} if columns == "messages" else {"prompt": [user], "completion": [assistant]}


def write_trl(
    trajectories: Sequence[str | Path],
    out: str | Path,
    fmt: ChatFormat,
    progress: ExportWatch = nobody,
    *,
    columns: Columns = "messages",
    bytes_per_file: int = _BYTES_PER_FILE,
) -> Exported:
    """Write the examples of files of ``segagent trajectories`` into the folder ``out``, which must not exist.

    A file is full once its pictures have ``bytes_per_file`` bytes. Raises ``InputError`` for files that cannot be used,
    and if the folder cannot be written; nothing is left then. Raises ``MissingExtraError`` without pyarrow.
    """
    arrow()
    exported = Exported()
    files = open_files(trajectories)
    pngs: Recent[str, bytes] = Recent(PNGS_KEPT)
    with whole_folder(out) as folder:
        (folder / "data").mkdir()
        with _Files(folder / "data", columns, bytes_per_file) as written:
            for one in conversations(files, fmt, exported, progress):
                images = [
                    {"bytes": pngs.made(name, partial(quick_png, pixels, compress=True)), "path": name}
                    for name, pixels in zip(one.names, one.pictures, strict=True)
                ]
                written.add({**messages_of(one, columns), "images": images, "segagent": one.note()})
        for number, file in enumerate(written.paths):
            file.rename(file.with_name(f"train-{number:05d}-of-{len(written.paths):05d}.parquet"))
        (folder / FORMAT_FILE).write_text(json.dumps(format_to_dict(fmt), indent=1) + "\n", encoding="utf-8")
    return exported


def read_trl(folder: str | Path) -> Iterator[Conversation]:
    """The conversations of a folder that :func:`write_trl` wrote, row group by row group.

    Raises ``InputError`` naming the file that is no such file, ``MissingExtraError`` without pyarrow.
    """
    _, parquet = arrow()
    files = sorted(Path(folder).glob("data/*.parquet"))
    if not files:
        raise InputError(f"{folder}: holds no data/*.parquet; expected a folder of 'segagent export-examples'")
    for file in files:
        try:
            opened = parquet.ParquetFile(file)
            for group in range(opened.metadata.num_row_groups):
                for row in opened.read_row_group(group).to_pylist():
                    yield _conversation(row)
        except (ValueError, KeyError, TypeError, OSError) as error:  # pyarrow's errors are ValueErrors and OSErrors
            detail = " ".join(str(error).split())[:200]
            raise InputError(f"{file}: not a file of 'segagent export-examples' ({detail})") from error


def _conversation(row: dict[str, Any]) -> Conversation:
    user, assistant = row["messages"] if "messages" in row else (row["prompt"][0], row["completion"][0])
    *parts, words = user["content"]
    if [part["type"] for part in parts] != ["image"] * len(row["images"]):
        raise ValueError("pictures and their places differ in number")
    return Conversation(
        example_of_note(row["segagent"]),
        words["text"],
        assistant["content"][0]["text"],
        tuple(np.asarray(load_image(image["path"], content=image["bytes"]).pixels) for image in row["images"]),
        tuple(image["path"] for image in row["images"]),
    )


class _Files:
    """Rows into numbered files, a row group at a time; closed at the end of a ``with`` block."""

    def __init__(self, folder: Path, columns: Columns, bytes_per_file: int) -> None:
        self.paths: list[Path] = []
        self._folder = folder
        self._schema = _schema(columns)
        self._bytes_per_file = bytes_per_file
        self._writer: Any = None
        self._rows: list[dict[str, Any]] = []
        self._waiting = self._in_file = 0

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Append a row; it is written when there are enough."""
        self._rows.append(row)
        self._waiting += sum(len(image["bytes"]) for image in row["images"])
        if len(self._rows) >= _ROWS_PER_GROUP or self._waiting >= min(_BYTES_PER_GROUP, self._bytes_per_file):
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        pyarrow, parquet = arrow()
        if self._writer is not None and self._in_file >= self._bytes_per_file:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self.paths.append(self._folder / f"train-{len(self.paths):05d}.parquet")
            self._writer = parquet.ParquetWriter(self.paths[-1], self._schema)
            self._in_file = 0
        self._writer.write_table(pyarrow.Table.from_pylist(self._rows, self._schema))
        self._in_file += self._waiting
        self._rows, self._waiting = [], 0


def _schema(columns: Columns) -> Any:
    """Arrow's schema, with what ``datasets`` wants to know beside it: without that, images would stay bytes."""
    pyarrow, _ = arrow()
    text = pyarrow.string()
    part = pyarrow.struct([("type", text), ("text", text)])
    message = pyarrow.struct([("role", text), ("content", pyarrow.list_(part))])
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", text)])
    word = {"dtype": "string", "_type": "Value"}
    messages = [{"role": word, "content": [{"type": word, "text": word}]}]
    names = ["messages"] if columns == "messages" else ["prompt", "completion"]
    fields = [*((name, pyarrow.list_(message)) for name in names), ("images", pyarrow.list_(image)), ("segagent", text)]
    features = {**dict.fromkeys(names, messages), "images": [{"_type": "Image"}], "segagent": word}
    return pyarrow.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})
