"""What a training reads: examples of one data set, and where that data set's pictures are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segagent.core import InputError
from segagent.core.journal import read_journal
from segagent.datasets import Dataset, open_dataset
from segagent.learning.examples import Example, sft_examples
from segagent.learning.trajectories import read_trajectories


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """``examples`` whose ``image`` and ``sample_id`` are those of ``dataset``."""

    dataset: Dataset
    examples: Sequence[Example]


def load_annotator_set(path: str | Path) -> TrainingSet:
    """D_0: the examples of a file that ``segagent trajectories`` wrote; its header names the data set.

    Raises ``InputError`` naming the file where it is no such file, holds no trajectory, or its data set has moved or
    changed since.
    """
    header, _ = read_journal(path)
    notes = header.get("notes")
    spec = notes.get("dataset") if isinstance(notes, dict) else None
    if not isinstance(spec, str):
        raise InputError(f"{path}: its header names no data set; expected a file of 'segagent trajectories'")
    dataset = open_dataset(spec)
    config = header.get("config")
    if not isinstance(config, dict) or config.get("dataset") != dataset.fingerprint:
        raise InputError(f"{path}: {spec} has changed since the trajectories were made; make them again")
    try:
        examples = [example for trajectory in read_trajectories(path) for example in sft_examples(trajectory)]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    if not examples:
        raise InputError(f"{path}: holds no trajectory")
    return TrainingSet(dataset, examples)
