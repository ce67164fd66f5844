"""Failed samples tried again, in rounds, each a journal of its own; see :mod:`segagent.runs.stored`.

A round goes through the images on which something still fails and writes all their records anew: those of samples that
did not fail as they were, the others' from playing them again. So the records are those of a run in which nothing had
failed. A round that was stopped is gone on with; one that is complete is followed by the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from segagent.core import Policy, SegmentationTool
from segagent.core.failures import Failure
from segagent.datasets import Dataset, Sample, SampleGroup
from segagent.datasets.sample import ListedGroup
from segagent.evaluation.playing import play_groups
from segagent.evaluation.protocols import EvaluationConfig
from segagent.runs.journal import Journal
from segagent.runs.stored import EMPTY_SCHEMA, has_failure, merged_units, retried_file, retried_files, whole_units


def retry_failed(
    dataset: Dataset,
    policy: Policy | None,
    tool: SegmentationTool,
    file: Path,
    config: EvaluationConfig,
    settings: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> Iterator[int]:
    """Try what failed in the complete journal ``file`` again; yields the place of each image that was done.

    ``settings`` and ``notes`` are those of the journal. Raises ``InputError`` as :class:`Journal` does.
    """
    number, before = _round(file)
    if not any(has_failure(records) for _, records in merged_units(file, before)):
        return
    with Journal(retried_file(file.parent, number), {**settings, "retry": number}, notes) as journal:
        groups = enumerate(dataset.groups())
        for place, records in merged_units(file, before):
            if place < journal.next_unit or not has_failure(records):
                continue
            group = next(group for at, group in groups if at == place)
            journal.append(place, _again(group, records, policy, tool, config))
            yield place


def _round(file: Path) -> tuple[int, list[Path]]:
    """The number of the round to do, or to go on with, and the files of the rounds before it."""
    done = retried_files(file)
    if done:
        failed = [unit for unit, records in merged_units(file, done[:-1]) if has_failure(records)]
        if failed and _last_unit(done[-1]) < failed[-1]:
            return len(done), done[:-1]
    return len(done) + 1, done


def _last_unit(file: Path) -> int:
    return max((unit for unit, _ in whole_units(file)), default=-1)


def _again(
    group: SampleGroup,
    records: Sequence[dict[str, Any]],
    policy: Policy | None,
    tool: SegmentationTool,
    config: EvaluationConfig,
) -> list[dict[str, Any]]:
    """All records of an image, those of failed samples and of new ones made now."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if Failure.from_dict(record) is None and record.get("schema") != EMPTY_SCHEMA:
            whole = {name: value for name, value in record.items() if name != "unit"}
            kept.setdefault(str(record.get("sample_id")), []).append(whole)
    samples: Sequence[Sample] = group.samples()
    wanted = tuple(sample for sample in samples if sample.sample_id not in kept)
    (made,) = play_groups([ListedGroup(group.image_name, wanted)], policy, tool, config)
    if not samples:
        return made
    for record in made:
        kept.setdefault(str(record.get("sample_id")), []).append(record)
    return [record for sample in samples for record in kept.get(sample.sample_id, [])]
