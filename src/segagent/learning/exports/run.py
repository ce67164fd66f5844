"""Going through trajectory files once, whatever is made of them; memory does not grow with their length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from segagent.core import InputError
from segagent.learning.exports.conversations import Conversation, conversation_of, is_whole
from segagent.learning.sft.data import AnnotatorFile, open_annotator_file
from segagent.learning.sft.pictures import KeptPictures
from segagent.policies.chat import ChatFormat

_PICTURES_KEPT = 4
PNGS_KEPT = 64


@dataclass
class Exported:
    """What was written. ``num_left_out``: examples, or episodes, that have no place in the format."""

    num_trajectories: int = 0
    num_written: int = 0
    num_left_out: int = 0


ExportWatch: TypeAlias = Callable[[Exported], None]


def nobody(_: Exported) -> None:
    """Told about progress, it does nothing."""


def open_files(paths: Sequence[str | Path]) -> list[AnnotatorFile]:
    """Each file opened. Raises ``InputError`` for one that cannot be used."""
    if not paths:
        raise InputError("no trajectories were named; expected files of 'segagent trajectories'")
    return [open_annotator_file(path) for path in paths]


def conversations(
    files: Sequence[AnnotatorFile], fmt: ChatFormat, exported: Exported, progress: ExportWatch
) -> Iterator[Conversation]:
    """The conversations of all files in order, counted in ``exported``.

    Examples without a whole reply are left out. Raises ``InputError`` naming the file or sample that cannot be used,
    and where there is nothing to write.
    """
    pictures = KeptPictures([file.dataset for file in files], _PICTURES_KEPT)
    for which, file in enumerate(files):
        for _, examples in file.trajectories():
            for example in examples:
                if is_whole(example):
                    yield conversation_of(example, pictures.get(which, example.image), fmt)
                    exported.num_written += 1
                else:
                    exported.num_left_out += 1
            exported.num_trajectories += 1
            progress(exported)
    if not exported.num_written:
        raise InputError(f"{', '.join(str(file.path) for file in files)}: no example to write")
