"""What a training reads: examples of one data set, and where that data set's pictures are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segagent.core import InputError, Trajectory
from segagent.core.extensions import from_record
from segagent.datasets import Dataset, open_dataset
from segagent.learning.examples import Example, sft_examples
from segagent.learning.trajectories import read_trajectories
from segagent.runs.journal import read_journal


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """``examples`` whose ``image`` and ``sample_id`` are those of ``dataset``.

    ``weight``: how often they are drawn, compared with those of other sets; None for all sets draws each example of any
    once an epoch.
    """

    dataset: Dataset
    examples: Sequence[Example]
    weight: float | None = None


@dataclass(frozen=True, eq=False)
class AnnotatorFile:
    """A file of ``segagent trajectories`` and the data set that it was made from; read as a stream."""

    path: Path
    dataset: Dataset

    def trajectories(self) -> Iterator[tuple[Trajectory, list[Example]]]:
        """Each trajectory with its examples (D_0). Raises ``InputError`` naming file and sample that is damaged."""
        for trajectory in read_trajectories(self.path):
            try:
                yield trajectory, sft_examples(trajectory)
            except ValueError as error:
                raise InputError(f"{self.path}: {error}") from error


def open_annotator_file(path: str | Path) -> AnnotatorFile:
    """A file that ``segagent trajectories`` wrote; its header names the data set.

    Raises ``InputError`` naming the file where it is no such file, or its data set has moved or changed since.
    """
    header, _ = read_journal(path)
    return AnnotatorFile(Path(path), dataset_of(header, path))


def dataset_of(header: Mapping[str, Any], path: str | Path) -> Dataset:
    """The data set that the journal ``path`` with this header was made from.

    Raises ``InputError`` naming the file where it names none, or one that has moved or changed since.
    """
    notes, config = header.get("notes"), header.get("config")
    spec = notes.get("dataset") if isinstance(notes, dict) else None
    if not isinstance(spec, str):
        raise InputError(
            f"{path}: its header names no data set; expected a file of 'segagent trajectories' or 'rollouts'"
        )
    dataset = open_dataset(from_record(spec, path))
    if not isinstance(config, dict) or config.get("dataset") != dataset.fingerprint:
        raise InputError(f"{path}: {spec} has changed since the trajectories were made; make them again")
    return dataset


def load_annotator_set(path: str | Path) -> TrainingSet:
    """D_0: the examples of a file that ``segagent trajectories`` wrote, all in memory.

    Raises ``InputError`` as :func:`open_annotator_file`, and where the file holds no trajectory.
    """
    file = open_annotator_file(path)
    examples = [example for _, found in file.trajectories() for example in found]
    if not examples:
        raise InputError(f"{path}: holds no trajectory")
    return TrainingSet(file.dataset, examples)
