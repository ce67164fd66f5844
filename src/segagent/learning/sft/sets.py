"""The files that a training is given, as training sets: in memory for small models, from the disk for large ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from segagent.core import InputError
from segagent.datasets import Dataset
from segagent.imaging.writing import made_folder
from segagent.learning.examples import Example, examples_record
from segagent.learning.launcher import by_the_first
from segagent.learning.sft.data import TrainingSet, load_annotator_set, open_annotator_file
from segagent.learning.sft.published import is_published, write_published_as_trajectories
from segagent.learning.sft.streamed import stream_examples
from segagent.runs.journal import Journal

DATA = "data"
"""The folder within a model's in which what its training reads is kept."""


def streams(policy: str) -> bool:
    """Whether the trainer of such a policy reads its examples from the disk."""
    return policy.partition(":")[0] == "hf"


def annotator_sets(
    policy: str,
    files: Sequence[str | Path],
    out: str | Path,
    *,
    boxes: bool = False,
    weights: Sequence[float] = (),
) -> list[TrainingSet]:
    """D_0 of ``files`` of ``segagent trajectories``; see :class:`TrainingSet` for ``weights``, one per file or none.

    For models that read them from the disk, what finds them there is kept in the folder ``out``; ``boxes``: with first
    boxes, see :func:`segagent.learning.examples.box_example`. Under a launcher every process must call it. Raises
    ``InputError`` as :func:`segagent.learning.sft.data.open_annotator_file`, and where a file holds nothing to learn.
    """
    if weights and len(weights) != len(files):
        raise InputError(f"{len(weights)} weights for {len(files)} files of trajectories; expected one for each")
    if not streams(policy):
        if weights or boxes:
            raise InputError(f"policy {policy!r:.200}: weights and first boxes are for hf: models")
        return [load_annotator_set(path) for path in files]
    sets = []
    for number, path in enumerate(files, 1):
        dataset = open_annotator_file(path).dataset
        index = made_folder(Path(out) / DATA) / f"trajectories_{number}.index"
        one = streamed_set(Path(path), dataset, index, boxes=boxes)
        if not len(one.examples):
            raise InputError(f"{path}: holds no trajectory")
        sets.append(replace(one, weight=weights[number - 1] if weights else None))
    return sets


def streamed_set(path: Path, dataset: Dataset, index: Path | None = None, *, boxes: bool = False) -> TrainingSet:
    """The examples of a journal about ``dataset``, read from the disk; the first process makes the index of them.

    ``index``: where that is kept; beside ``path`` unless given.
    """
    index = index or path.with_suffix(".index")
    by_the_first(lambda: stream_examples(path, index, boxes=boxes))
    return TrainingSet(dataset, stream_examples(path, index, boxes=boxes))


def write_examples(path: Path, dataset: Dataset, judged: Iterable[Sequence[Example]]) -> None:
    """Write ``judged``, the examples of one sample after the other, as a journal to be streamed, anew."""
    path.unlink(missing_ok=True)
    records = (examples_record(examples) for examples in judged if examples)
    with Journal(path, {"what": "examples", "dataset": dataset.fingerprint}, {"dataset": dataset.spec}) as journal:
        for unit, (_, about_image) in enumerate(groupby(records, lambda record: record["image"])):
            journal.append(unit, list(about_image))


def as_trajectories(files: Sequence[str | Path], images: Path | None, out: str | Path) -> list[Path]:
    """``files``, those in the published project's format turned into trajectories in the folder ``out``.

    ``images``: where their pictures are. Raises ``InputError`` for such a file without ``images``, or a damaged one.
    """
    found = []
    for number, path in enumerate(map(Path, files), 1):
        if not is_published(path):
            found.append(path)
            continue
        if images is None:
            raise InputError(f"{path}: a file of the published project holds no pictures; say where they are: --images")
        made = made_folder(Path(out) / DATA) / f"published_{number}.jsonl"
        by_the_first(partial(write_published_as_trajectories, path, images, made))
        found.append(made)
    if images is not None and found == [Path(path) for path in files]:
        raise InputError("--images is for files of the published project; other trajectories name their data set")
    return found


def num_examples(sets: Sequence[TrainingSet]) -> int:
    """How many examples there are."""
    return sum(len(one.examples) for one in sets)
