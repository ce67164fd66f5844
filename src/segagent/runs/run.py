"""A data set worked on into a journal: resumable, budgeted, one writer, whoever works and whatever is done."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from segagent.core import SCHEMA, InputError
from segagent.core.budget import over_budget
from segagent.core.failures import Failure
from segagent.datasets import SampleGroup
from segagent.distributed import Asking
from segagent.runs.journal import Journal, read_journal
from segagent.runs.playing import ImageResult, ImageTask, fail_all
from segagent.runs.progress import Counting, Progress, Watch, trajectory_cost
from segagent.runs.session import Session, Shard
from segagent.runs.stored import SKIPPED_SCHEMA, retried_files, sample_of
from segagent.runs.summary import summed_up, write_summary_file

Batch: TypeAlias = list[ImageResult]

DIED = "a worker process ended while it worked on this image, perhaps for lack of memory; see --retry-failed"


def outcome_of(record: Mapping[str, Any]) -> str:
    """What most kinds of runs count a record as."""
    return {SCHEMA: "trajectories", SKIPPED_SCHEMA: "skipped"}.get(str(record.get("schema")), "records")


def fail_as_died(tasks: Sequence[ImageTask]) -> Batch:
    """The results of images that ended every worker that tried them."""
    return fail_all(tasks, DIED)


class Images(Protocol):
    """What a run needs of a data set."""

    @property
    def num_images(self) -> int:
        """How many groups there are."""
        ...

    def groups(self) -> Iterator[SampleGroup]:
        """The samples, image by image."""
        ...


@dataclass(frozen=True)
class Plan:
    """A run: what is done, and where it is kept.

    ``work``: given the models and some images, their results; picklable. ``file``: the journal; ``settings``, ``notes``
    and ``options`` are the journal's. ``costs``: a journal of what each image has cost, for records that do not tell
    it themselves. ``batch_images``: how many images are given to ``work`` at once; it changes no record.
    ``first_look``: is shown the first results before there is a journal, and may refuse to begin one.
    ``died``: the results of images that end their workers; None ends the run. ``summary``: the file that tells, once
    the session ends, what came of the run (:func:`segagent.runs.summary.summed_up`); None for none.
    """

    dataset: Images
    work: Callable[[Any, Sequence[ImageTask]], Batch]
    file: Path
    settings: Mapping[str, Any]
    notes: Mapping[str, Any]
    options: Mapping[str, str] = field(default_factory=dict)
    shard: Shard = Shard()
    batch_images: int = 1
    costs: Path | None = None
    outcome_of: Callable[[Mapping[str, Any]], str] = outcome_of
    first_look: Callable[[Iterator[Batch]], None] | None = None
    died: Callable[[Sequence[ImageTask]], Batch] | None = fail_as_died
    summary: Path | None = None


def carry_out(plan: Plan, ask: Asking[Any], session: Session, watch: Watch | None = None) -> Progress:
    """Do what ``plan`` says, or go on where an earlier session stopped.

    The journal has one unit per image, in the data set's order. It is written here alone, whoever does the work, so it
    does not depend on workers, batches or interruptions. A retry appends: see :mod:`segagent.runs.stored`. ``watch`` is
    called at the beginning and after each batch of images.

    Raises:
        InputError: for a journal that cannot be written or gone on with.
        SegAgentError: if a model cannot be made, a server fails for good, or workers keep dying. What is done stays.
    """
    return _Run(plan, ask, session, watch or (lambda progress: None)).carry_out()


class _Run:
    def __init__(self, plan: Plan, ask: Asking[Any], session: Session, watch: Watch) -> None:
        self._plan, self._ask, self._session, self._watch = plan, ask, session, watch
        self._num_images = plan.dataset.num_images
        self._counting = Counting(max(self._num_images, 1), plan.shard, plan.outcome_of)
        # What has been taken from the workers and not been written yet, while nobody knows whether there will be a run.
        self._held: deque[Batch] = deque()

    def carry_out(self) -> Progress:
        plan, progress = self._plan, self._counting.progress
        end = self._num_images
        if self._session.limit is not None:
            end = min(end, plan.shard.end(self._session.limit))
        first = None
        if plan.first_look is not None and not plan.file.exists():
            first = self._done(self._tasks(0, end, []))
            plan.first_look(self._holding(first))
        if plan.costs is not None and not plan.file.exists():
            plan.costs.unlink(missing_ok=True)  # Those of a run whose journal was removed.
        with contextlib.ExitStack() as stack:
            journal = stack.enter_context(
                Journal(plan.file, plan.settings, plan.notes, kept=self._keep, options=plan.options)
            )
            self._count_old_rounds()
            costs = None if plan.costs is None else stack.enter_context(self._costs(plan.costs))
            progress.num_kept_images = progress.num_images
            self._watch(progress)
            failed = progress.failures if self._session.retry_failed else []
            if failed and plan.shard.count(end) < plan.shard.count(self._num_images):
                raise InputError("what failed is tried again once all images are done; leave out the limit")
            # A budget that the last image uses up has stopped nothing.
            left = plan.shard.count(end) - plan.shard.count(min(journal.next_unit, end))
            left += len({failure.image for failure in failed})
            coming = self._given_back(first) if first else self._done(self._tasks(journal.next_unit, end, failed))
            with contextlib.closing(coming):
                for batch in coming:
                    for result in batch:
                        self._write(result, journal, costs)
                    left -= len(batch)
                    self._watch(progress)
            if left > 0:
                progress.stopped = self._over_budget(progress.cost, progress.num_images + progress.num_retried)
        if plan.summary is not None:
            self._sum_up(plan.summary)
        return progress

    def _sum_up(self, file: Path) -> None:
        progress, num_images = self._counting.progress, self._plan.shard.count(self._num_images)
        content = {
            "run": str(self._plan.file),
            "job": self._plan.settings["what"],
            "samples": progress.num_samples,
            **summed_up(
                "sample",
                progress.outcomes,
                progress.failures,
                num_images,
                num_images - progress.num_images,
                progress.cost,
            ),
        }
        write_summary_file(file, content, progress.stopped)

    def _count_old_rounds(self) -> None:
        """Count what lies beside the journal: retries of version 0.1.0."""
        for file in retried_files(self._plan.file):
            for record in read_journal(file)[1]:
                if self._counting.progress.fails(sample_of(record)) and Failure.from_dict(record) is None:
                    self._keep({**record, "unit": [self._counting.num_images + record["unit"][0]]})

    def _costs(self, file: Path) -> Journal:
        settings = {name: self._plan.settings.get(name) for name in ("what", "dataset", "num_images")}
        known = {name: value for name, value in settings.items() if value is not None}
        return Journal(file, known, {}, kept=lambda record: self._counting.add_cost(record["cost"]))

    def _done(self, tasks: Iterable[ImageTask]) -> Generator[Batch, None, None]:
        yield from self._ask(
            self._plan.work, _batches(tasks, self._plan.batch_images), died=self._plan.died, ready=self._may_begin
        )

    def _holding(self, results: Iterator[Batch]) -> Iterator[Batch]:
        for batch in results:
            self._held.append(batch)
            yield batch

    def _given_back(self, rest: Iterator[Batch]) -> Generator[Batch, None, None]:
        while self._held:
            yield self._held.popleft()
        yield from rest

    def _may_begin(self, ahead: int) -> bool:
        """Whether the budget allows another batch, ``ahead`` of them being under way."""
        progress = self._counting.progress
        waiting = [result for batch in self._held for result in batch]
        cost: Counter[str] = Counter()
        cost.update(progress.cost)
        for result in waiting:
            cost.update(self._cost(result))
        return not self._over_budget(cost, len(waiting) + progress.num_images + progress.num_retried, ahead)

    def _over_budget(self, cost: Mapping[str, float], num_images: int, ahead: int = 0) -> str:
        return over_budget(cost, num_images, self._session.budget, ahead, self._session.spent)

    def _keep(self, record: dict[str, Any]) -> None:
        self._counting.add(record)
        if self._plan.costs is None:
            self._counting.add_cost(trajectory_cost(record))

    def _cost(self, result: ImageResult) -> Mapping[str, float]:
        if self._plan.costs is not None:
            return result.cost
        total: Counter[str] = Counter()
        for record in result.records:
            total.update(trajectory_cost(record))
        return total

    def _write(self, result: ImageResult, journal: Journal, costs: Journal | None) -> None:
        journal.append(result.unit, result.records)
        if costs is not None:
            costs.append(costs.next_unit, [{"cost": result.cost}])
        for record in result.records:
            self._counting.add({**record, "unit": [result.unit]})
        self._counting.pass_image(result.unit)
        self._counting.add_cost(self._cost(result))

    def _tasks(self, next_unit: int, end: int, failed: Sequence[Failure]) -> Iterator[ImageTask]:
        """What is to be done: the images from ``next_unit`` on, then once more what ``failed``."""
        for place, group in islice(enumerate(self._plan.dataset.groups()), next_unit, max(end, next_unit)):
            if self._plan.shard.takes(place):
                yield ImageTask(place, group)
        if not failed:
            return
        wanted = frozenset(failure.sample_id for failure in failed)
        images = {failure.image for failure in failed}
        # A round that was interrupted is left as it is: what it did not come to is still among the failures.
        num_images = max(self._num_images, 1)
        offset = max(-(-next_unit // num_images), 1) * num_images
        for place, group in enumerate(self._plan.dataset.groups()):
            if group.image_name in images and self._plan.shard.takes(place):
                yield ImageTask(offset + place, group, wanted)


def _batches(tasks: Iterable[ImageTask], size: int) -> Iterator[list[ImageTask]]:
    iterator = iter(tasks)
    while batch := list(islice(iterator, size)):
        yield batch
