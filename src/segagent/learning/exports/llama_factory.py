"""LLaMA-Factory's ShareGPT form: a folder with ``dataset_info.json``, one JSON line per example, and the pictures.

Files::

    OUT/dataset_info.json      tells LLaMA-Factory where messages and pictures are; set dataset_dir to OUT
    OUT/segagent.jsonl         {"messages": [user, assistant], "images": [paths below OUT], "segagent": the example}
    OUT/images/xx/NAME.png     pictures as the policy is shown them; equal ones are one file
    OUT/segagent_format.json   the chat format, which a model trained on this has to be used with

Each picture has its ``<image>`` in the user's message, before the words. The fields were taken from LLaMA-Factory's own
``data/parser.py`` and ``data/converter.py``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segagent.core import InputError
from segagent.core.recent import Recent
from segagent.datasets.sample import path_inside
from segagent.imaging import load_image, quick_png, whole_folder
from segagent.learning.exports.conversations import PLACEHOLDER, Conversation, example_of_note
from segagent.learning.exports.run import PNGS_KEPT, Exported, ExportWatch, conversations, nobody, open_files
from segagent.policies.chat import ChatFormat, format_to_dict

DATASET_NAME = "segagent"
INFO_FILE = "dataset_info.json"
EXAMPLES_FILE = f"{DATASET_NAME}.jsonl"
FORMAT_FILE = "segagent_format.json"
"""The name under which ``hf:MODEL`` looks for the chat format that a model was trained in."""

_INFO = {
    DATASET_NAME: {
        "file_name": EXAMPLES_FILE,
        "formatting": "sharegpt",
        "columns": {"messages": "messages", "images": "images"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }
}


def write_llama_factory(
    trajectories: Sequence[str | Path], out: str | Path, fmt: ChatFormat, progress: ExportWatch = nobody
) -> Exported:
    """Write the examples of files of ``segagent trajectories`` into the folder ``out``, which must not exist.

    Raises ``InputError`` for files that cannot be used, and if the folder cannot be written; nothing is left then.
    """
    exported = Exported()
    files = open_files(trajectories)
    pngs: Recent[str, bytes] = Recent(PNGS_KEPT)
    with whole_folder(out) as folder:
        with (folder / EXAMPLES_FILE).open("wb") as lines:
            for one in conversations(files, fmt, exported, progress):
                paths = [f"images/{name[:2]}/{name}" for name in one.names]
                for path, name, pixels in zip(paths, one.names, one.pictures, strict=True):
                    file = folder / path
                    if not file.exists():
                        file.parent.mkdir(parents=True, exist_ok=True)
                        file.write_bytes(pngs.made(name, partial(quick_png, pixels, compress=True)))
                lines.write(json.dumps(_row(one, paths)).encode("ascii") + b"\n")
        (folder / FORMAT_FILE).write_text(json.dumps(format_to_dict(fmt), indent=1) + "\n", encoding="utf-8")
        (folder / INFO_FILE).write_text(json.dumps(_INFO, indent=1) + "\n", encoding="utf-8")
    return exported


def _row(one: Conversation, paths: Sequence[str]) -> dict[str, Any]:
    user = {"role": "user", "content": PLACEHOLDER * len(paths) + one.prompt}
    return {
        "messages": [user, {"role": "assistant", "content": one.reply}],
        "images": list(paths),
        "segagent": one.note(),
    }


def read_llama_factory(folder: str | Path) -> Iterator[Conversation]:
    """The conversations of a folder of :func:`write_llama_factory`. Raises ``InputError`` naming file and line."""
    root = Path(folder)
    file = root / EXAMPLES_FILE
    try:
        lines = file.open("rb")
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror}); expected a folder of 'segagent export-examples'"
        ) from error
    with lines:
        for number, line in enumerate(lines, start=1):
            where = f"{file}, line {number}"
            try:
                row = json.loads(line)
                user, assistant = row["messages"]
                paths = [path_inside(root, path, where, "images") for path in row["images"]]
                head = PLACEHOLDER * len(paths)
                if not user["content"].startswith(head) or user["content"].count(PLACEHOLDER) != len(paths):
                    raise ValueError("pictures and their places differ")
                yield Conversation(
                    example_of_note(row["segagent"]),
                    user["content"][len(head) :],
                    assistant["content"],
                    tuple(np.asarray(load_image(path).pixels) for path in paths),
                    tuple(path.name for path in paths),
                )
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(f"{where}: not an example of 'segagent export-examples' ({error})") from error
