"""A whole data set evaluated into a journal: ``trajectories.jsonl``, from which every metric can be made again."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from segagent.core import Image, InputError, Observation, Policy, SegmentationTool, concurrency_of
from segagent.core.budget import Budget, over_budget
from segagent.core.failures import Failure
from segagent.core.journal import Journal, read_journal
from segagent.datasets import Dataset, SampleGroup
from segagent.distributed import Lanes
from segagent.environment.fingerprint import tool_answers
from segagent.evaluation.playing import play_groups
from segagent.evaluation.protocols import EvaluationConfig
from segagent.evaluation.retrying import retry_failed
from segagent.evaluation.stored import EMPTY_SCHEMA, TRAJECTORIES_FILE, merged_units, retried_files
from segagent.policies import require_predicted_iou
from segagent.search.versions import package_versions

OPTIONS = {
    "protocol": "--protocol",
    "policy": "--policy",
    "tool": "--tool",
    "max_steps": "--steps",
    "num_candidates": "--candidates",
    "use_prm": "--no-prm",
    "stop_iou": "--all-steps",
    "patience": "--all-steps",
    "max_clicks": "--max-clicks",
    "enough": "--enough",
    "draws": "--draws",
    "seed": "--seed",
    "shard": "--shard",
}
"""How an evaluation's settings are given to the commands."""


@dataclass
class Progress:
    """What a journal holds. ``num_kept_images`` of its images were there when this run began.

    ``num_retried``: images with a failure that this run tried again. ``cost``: sums of seconds, policy_calls and the
    amounts of :class:`segagent.core.Usage`. ``stopped``: which budget ended the run, in words; empty where none did.
    """

    num_images: int = 0
    num_samples: int = 0
    num_kept_images: int = 0
    num_retried: int = 0
    stopped: str = ""
    cost: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    failures: list[Failure] = field(default_factory=list)
    _last: tuple[int, str] = (-1, "")
    _unit: int = -1

    def add(self, unit: int, record: dict[str, Any]) -> None:
        """Count a record of image number ``unit``; records of an image, and of a sample, follow one another."""
        self.num_images += unit != self._unit
        if record.get("schema") == EMPTY_SCHEMA:
            self._unit = unit
            return
        sample = (unit, str(record.get("sample_id")))
        self.num_samples += sample != self._last
        self._unit, self._last = unit, sample
        self._add_cost(record)
        failure = Failure.from_dict(record)
        if failure is not None:
            self.failures.append(failure)

    def _add_cost(self, record: dict[str, Any]) -> None:
        used = record.get("usage")
        amounts = {**(used if isinstance(used, dict) else {}), "seconds": record.get("elapsed", 0)}
        for name, value in {**amounts, "policy_calls": record.get("num_policy_calls", 0)}.items():
            self.cost[name] += value if isinstance(value, int | float) else 0


Watch: TypeAlias = Callable[[Progress], None]


def evaluate(
    dataset: Dataset,
    policy: Policy | None,
    tool: SegmentationTool,
    out: str | Path,
    config: EvaluationConfig = EvaluationConfig(),  # noqa: B008 - frozen
    *,
    watch: Watch | None = None,
    retry: bool = False,
    budget: Budget = Budget(),  # noqa: B008 - frozen
) -> Progress:
    """Play every sample of ``dataset`` (or of the shard) into ``out``/trajectories.jsonl, or go on where it stopped.

    The file is a :class:`segagent.core.journal.Journal` with one unit per image, numbered by the image's place in the
    data set. Its records are trajectories with rewards, and beside each the ``target`` and ``ignore`` masks (COCO RLE)
    and the ``elapsed`` seconds per sample, loading included; a sample that cannot be used leaves a failure, one
    that the protocol has no use for a note that it was skipped.

    Args:
        dataset: what to evaluate on.
        policy: who clicks. None is the simulated annotator, which ``noc`` alone can use.
        tool: what turns clicks into masks.
        out: the folder, made where it is missing.
        config: the protocol and its settings.
        watch: called once at the beginning and after each batch of images.
        retry: try the samples that failed again, once all images are done; see :mod:`segagent.evaluation.retrying`.
        budget: of the whole run, earlier sessions included. Samples that failed, and retries, are not counted.

    Raises:
        InputError: for a journal that cannot be gone on with, and for a policy that does not suit the protocol.
        SegAgentError: where the policy's server fails for good. What was written stays.
    """
    if policy is None and config.protocol != "noc":
        raise InputError(f"the protocol {config.protocol!r} needs a policy; only 'noc' has the simulated annotator")
    if policy is not None and config.protocol == "filter":
        require_predicted_iou(policy, "the protocol 'filter'")
    if policy is not None and config.protocol != "filter" and config.search.num_candidates > 1:
        require_predicted_iou(policy, "a choice between candidates")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder ({error.strerror}); choose another name") from error
    settings = {
        "what": "evaluation",
        "dataset": dataset.fingerprint,
        "protocol": config.protocol,
        "policy": "simulated" if policy is None else policy.name,
        "policy_answers": policy_answers(policy, known_answers(folder / TRAJECTORIES_FILE)),
        "tool": tool.name,
        "tool_answers": tool_answers(tool),
        **config.to_dict(),
        "shard": str(config.shard),
    }
    versions = package_versions(policy, tool, dataset)
    notes = {"dataset": dataset.spec, "num_images": dataset.num_images, "versions": versions}
    progress = Progress()
    with Journal(
        folder / TRAJECTORIES_FILE,
        settings,
        notes,
        kept=lambda record: progress.add(record["unit"][0], record),
        options=OPTIONS,
    ) as journal:
        progress.num_kept_images = progress.num_images
        _refuse_strays(journal)
        if watch is not None:
            watch(progress)
        groups = islice(enumerate(dataset.groups()), journal.next_unit, None)
        mine = ((place, group) for place, group in groups if config.shard.takes(place))
        lanes = Lanes(concurrency_of(policy))

        def played(batch: Sequence[tuple[int, SampleGroup]]) -> list[tuple[int, list[dict[str, Any]]]]:
            made = play_groups([group for _, group in batch], policy, tool, config, lanes)
            return [(place, records) for (place, _), records in zip(batch, made, strict=True)]

        def ready(ahead: int) -> bool:
            return not over_budget(progress.cost, progress.num_images, budget, ahead)

        left = len([place for place in range(journal.next_unit, dataset.num_images) if config.shard.takes(place)])
        for made in lanes.map(played, _batches(mine, config.batch_images), ready):
            for place, records in made:
                journal.append(place, records)
                for record in records:
                    progress.add(place, record)
            left -= len(made)
            if watch is not None:
                watch(progress)
        progress.stopped = over_budget(progress.cost, progress.num_images, budget) if left > 0 else ""
        if retry and not progress.stopped:
            for _ in retry_failed(dataset, policy, tool, journal.path, config, settings, notes):
                progress.num_retried += 1
                if watch is not None:
                    watch(progress)
        if retried_files(journal.path):
            progress.failures = _failures(journal.path)
    return progress


def _refuse_strays(journal: Journal) -> None:
    """Retries beside a journal that is only beginning are of another one."""
    strays = retried_files(journal.path)
    if strays and journal.next_unit == 0:
        raise InputError(f"{strays[0]}: belongs to an earlier evaluation; remove it or choose another folder")


def _failures(path: Path) -> list[Failure]:
    """What still fails after all retries."""
    found = (Failure.from_dict(r) for _, records in merged_units(path, retried_files(path)) for r in records)
    return [failure for failure in found if failure is not None]


def policy_answers(policy: Policy | None, known: str = "") -> str:
    """A digest of what an embedded policy answers to a fixed question: other weights are another policy.

    The answers are computed in float32, whatever else is, so that a run can be gone on with on another kind of CPU.
    Earlier versions computed them in bfloat16: where that gives ``known``, see :func:`known_answers`, so does this.

    Empty for other kinds. A server may answer differently each time and a large model on another machine in its last
    digits, which would make going on impossible; there the name has to do.
    """
    if policy is None or policy.name.partition(":")[0] != "embedded":
        return ""
    digest = _answers_in("float32", policy)
    return known if known not in ("", digest) and known == _answers_in("bfloat16", policy) else digest


def known_answers(path: str | Path) -> str:
    """The :func:`policy_answers` that the journal at ``path`` was begun with; empty where there is none to go on with.

    A file that cannot be read is left to the one that opens it for writing, who tells what is wrong with it.
    """
    try:
        header, _ = read_journal(path)
    except InputError:
        return ""
    config = header.get("config")
    return str(config.get("policy_answers", "")) if isinstance(config, dict) else ""


def _answers_in(number_format: Literal["bfloat16", "float32"], policy: Policy) -> str:
    from segagent.cpu import computing_in  # Not above: it loads torch, which other policies do without.

    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 30) ** 2 + (columns - 36) ** 2 < 400
    image = Image.of(np.stack([rows * 3, columns * 3, np.where(disc, 200, 60)], axis=2).astype(np.uint8))
    with computing_in(number_format):
        replies = policy.propose([Observation(image, "the disc", mask) for mask in (np.zeros_like(disc), disc)])
    said = [[str(one[0].action), round(one[0].predicted_iou or 0.0, 2)] for one in replies]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=8).hexdigest()


def _batches(groups: Iterable[tuple[int, SampleGroup]], size: int) -> Iterator[Sequence[tuple[int, SampleGroup]]]:
    iterator = iter(groups)
    while batch := list(islice(iterator, size)):
        yield batch
