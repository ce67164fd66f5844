"""Trajectory files of the published SegAgent project, out of ours; true masks come from the data set again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from segagent.core import SCHEMA, Click, InputError, Trajectory, encode_rle
from segagent.datasets import Sample
from segagent.datasets.published import PublishedEpisode, write_published_trajectories
from segagent.learning.exports.run import Exported, ExportWatch, nobody, open_files
from segagent.learning.sft.data import AnnotatorFile
from segagent.runs.journal import read_journal


def write_published(trajectories: Sequence[str | Path], out: str | Path, progress: ExportWatch = nobody) -> Exported:
    """Write the episodes of files of ``segagent trajectories`` as one JSON file of the published project.

    Episodes that begin with a mask, a box or clicks have no place there and are left out. Raises ``InputError`` for
    files that cannot be used, where nothing is left to write, and if ``out`` cannot be written.
    """
    exported = Exported()
    files = open_files(trajectories)

    def episodes() -> Iterator[PublishedEpisode]:
        for file in files:
            for trajectory, sample in _with_samples(file):
                exported.num_trajectories += 1
                if trajectory.start.kind == "empty" and all(isinstance(s.action, Click) for s in trajectory.steps):
                    yield PublishedEpisode(trajectory, encode_rle(sample.load_target()[0]))
                    exported.num_written += 1
                else:
                    exported.num_left_out += 1
                progress(exported)
        if not exported.num_written:
            raise InputError(
                f"{', '.join(str(file.path) for file in files)}: no episode that starts from nothing, as all of the "
                "published format do; make some with --starts empty"
            )

    write_published_trajectories(out, episodes())
    return exported


def _with_samples(file: AnnotatorFile) -> Iterator[tuple[Trajectory, Sample]]:
    """Each trajectory with its sample; the file's units are the data set's images, in order."""
    groups = enumerate(file.dataset.groups())
    place, samples = -1, dict[str, Sample]()
    for record in read_journal(file.path)[1]:
        if record.get("schema") != SCHEMA:
            continue
        where = f"{file.path}, sample {record.get('sample_id')!r:.80}"
        unit: Any = record.get("unit")
        wanted = unit[0] if isinstance(unit, list) and unit and isinstance(unit[0], int) else -1
        while place < wanted:
            following = next(groups, None)
            if following is None:
                raise InputError(f"{where}: the data set has no image number {wanted}")
            place, samples = following[0], {sample.sample_id: sample for sample in following[1].samples()}
        try:
            trajectory = Trajectory.from_dict(record)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from error
        if trajectory.sample_id not in samples:
            raise InputError(f"{where}: is not in the data set")
        yield trajectory, samples[trajectory.sample_id]
