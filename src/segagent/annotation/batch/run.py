"""A whole data set worked on into a run folder: resumable, budgeted, one writer."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.folder import CALIBRATION_NAME, COSTS_FILE, JOURNAL_FILE
from segagent.annotation.batch.models import MakeModels, Models
from segagent.annotation.batch.work import ImageResult, ImageTask, fail_all, no_iou, work_on
from segagent.core import InputError
from segagent.core.budget import Budget, over_budget
from segagent.core.extensions import extension_versions
from segagent.core.failures import Failure
from segagent.core.journal import Journal
from segagent.datasets import Dataset
from segagent.distributed import Asking, worker_processes
from segagent.environment.fingerprint import tool_answers
from segagent.evaluation.calibration import calibration_content
from segagent.evaluation.run import known_answers, policy_answers
from segagent.imaging.writing import write_bytes
from segagent.policies import require_predicted_iou
from segagent.search.versions import package_versions

OpenWorkers: TypeAlias = Callable[[MakeModels], AbstractContextManager[Asking[Models]]]
"""Where the work runs: :func:`segagent.distributed.worker_processes` with a number of processes, or Ray."""

OPTIONS = {
    "job": "the command",
    "policy": "--policy",
    "tool": "--tool",
    "search.max_steps": "--steps",
    "search.num_candidates": "--candidates",
    "search.max_seconds": "--max-seconds",
    "search.max_policy_calls": "--max-calls",
    "search.max_money": "--max-money",
    "search.prices.prompt": "--price",
    "search.prices.completion": "--price",
    "below": "--below",
    "margin": "--margin",
    "sure": "--sure",
    "found": "--found",
    "seed": "--seed",
}
"""How a run's settings are given to the commands."""

ENOUGH_WITHOUT_IOU = 3
"""After so many first objects without a predicted IoU a policy is taken to predict none."""

DIED = "a worker process ended while it worked on this image, perhaps for lack of memory; see --retry-failed"


@dataclass
class Progress:
    """What a run holds. Images are counted on through retries.

    ``failures`` by object id. ``cost``: sums of objects, seconds, policy_calls, tool_calls, prompt_tokens and
    completion_tokens; of cached_tokens, money and not_greedy where a server tells of them. ``stopped``: which budget
    ended the session, in words; empty where none did.
    """

    num_images: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)
    cost: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    stopped: str = ""

    @property
    def num_objects(self) -> int:
        """How many objects are done, failed ones included."""
        return self.outcomes.total() + len(self.failures)

    def add(self, record: Mapping[str, Any]) -> None:
        """Count a record; a later one about the same object, after a retry, takes the place of its failure."""
        self.pass_image(int(record["unit"][0]))
        failure = Failure.from_dict(dict(record))
        if failure is not None:
            self.failures[failure.sample_id] = failure
        else:
            self.failures.pop(str(record["object_id"]), None)
            self.outcomes[str(record["outcome"])] += 1

    def pass_image(self, unit: int) -> None:
        """Note that images are done up to the one of this number, those without any object included."""
        self.num_images = max(self.num_images, unit + 1)

    def add_cost(self, record: Mapping[str, Any]) -> None:
        """Count what an image has cost."""
        for name, value in record.items():
            self.cost[name] += value


Watch: TypeAlias = Callable[[Progress], None]


def run_job(
    dataset: Dataset,
    make_models: MakeModels,
    out: str | Path,
    config: RunConfig,
    *,
    workers: int | None = None,
    open_workers: OpenWorkers | None = None,
    budget: Budget = Budget(),  # noqa: B008 - frozen
    retry_failed: bool = False,
    notes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> Progress:
    """Do ``config.job`` to every object of ``dataset`` into the folder ``out``, or go on where an earlier run stopped.

    ``out``/journal.jsonl is a :class:`segagent.core.journal.Journal`: one unit per image, one record per object, in the
    data set's order. It is written here alone, whoever does the work, so it does not depend on ``workers``, on
    ``config.batch_images`` or on interruptions. A retry appends: unit numbers go on counting from the number of images,
    once around per retry, and a later record of an object replaces its failure.

    Args:
        dataset: whose objects.
        make_models: see :data:`MakeModels`.
        out: the run folder, made where it is missing. One with another data set, settings or weights is refused.
        config: what to do.
        workers: processes, where ``open_workers`` is not given, each working on one image at a time; 1 works in this
            one. None works in this one too, on as many images at once as a policy behind a server takes questions.
        open_workers: where the work runs instead.
        budget: of the run, earlier sessions included.
        retry_failed: try again what failed in earlier sessions.
        notes: kept in the journal's header for those who read the run.
        watch: called at the beginning and after each batch of images.

    Raises:
        InputError: for a folder that cannot be written or gone on with.
        SegAgentError: if a model cannot be made, a server fails for good, or workers keep dying. What is done stays.
    """
    folder = _made(Path(out))
    progress = Progress()
    with ExitStack() as stack:
        ask = stack.enter_context((open_workers or partial(_processes, workers=workers))(make_models))
        (about,) = ask(partial(_describe, config=config), [known_answers(folder / JOURNAL_FILE)])
        do = partial(work_on, config=config)
        # What has been taken from the workers and not been written yet, while nobody knows whether there are IoUs.
        held: deque[list[ImageResult]] = deque()
        costs: Journal | None = None

        def ready(ahead: int) -> bool:
            waiting = [result for batch in held for result in batch]
            cost: Counter[str] = Counter()
            cost.update(progress.cost)
            for result in waiting:
                cost.update(result.cost)
            num_images = len(waiting) + (0 if costs is None else costs.next_unit)
            return not over_budget(cost, num_images, budget, ahead)

        first: Iterator[list[ImageResult]] | None = None
        if config.job != "annotate" and not (folder / JOURNAL_FILE).exists():
            results = ask(do, _batches(_tasks(dataset, 0, ()), config.batch_images), died=_died, ready=ready)
            first = _refused_without_iou(results, held, about["settings"]["policy"], config.job)
        settings = {"what": config.job, "dataset": dataset.fingerprint, "num_images": dataset.num_images}
        journal = stack.enter_context(
            Journal(
                folder / JOURNAL_FILE,
                {**settings, **about["settings"], **config.to_dict()},
                {"dataset": dataset.spec, "versions": about["versions"] | extension_versions(dataset), **(notes or {})},
                kept=progress.add,
                options=OPTIONS,
            )
        )
        costs = stack.enter_context(
            Journal(folder / COSTS_FILE, settings, {}, kept=lambda record: progress.add_cost(record["cost"]))
        )
        if about["calibration"] is not None and not (folder / CALIBRATION_NAME).exists():
            write_bytes(folder / CALIBRATION_NAME, about["calibration"].encode("ascii"))
        if watch is not None:
            watch(progress)
        failed = list(progress.failures.values()) if retry_failed else []
        todo = _tasks(dataset, journal.next_unit, failed)
        # A budget that the last image uses up has stopped nothing.
        left = max(dataset.num_images - journal.next_unit, 0) + len({failure.image for failure in failed})

        results = first or ask(do, _batches(todo, config.batch_images), died=_died, ready=ready)
        with contextlib.closing(_closable(results)) as coming:
            for batch in coming:
                for result in batch:
                    _write(result, journal, costs, progress)
                if watch is not None:
                    watch(progress)
                left -= len(batch)
        progress.stopped = over_budget(progress.cost, costs.next_unit, budget) if left > 0 else ""
    return progress


def _refused_without_iou(
    results: Iterator[list[ImageResult]], held: deque[list[ImageResult]], policy: str, job: str
) -> Iterator[list[ImageResult]]:
    """The same results, the first ones waited for, and ``held``, until one object was given an IoU.

    Whether a served policy predicts IoUs only its replies can tell. Raises ``InputError``, before there is a journal,
    where the first :data:`ENOUGH_WITHOUT_IOU` objects that it answered, or all if they are fewer, got none.
    """
    without, answered = 0, False
    for batch in results:
        held.append(batch)
        reasons = [record.get("reason") for result in batch for record in result.records]
        without += sum(reason == no_iou(policy) for reason in reasons)
        answered = any(reason is None for reason in reasons)
        if answered or without >= ENOUGH_WITHOUT_IOU:
            break
    if without and not answered:
        raise InputError(f"{no_iou(policy)}, which {job} needs; use another policy, or a prompt that asks for it")

    def given_back() -> Iterator[list[ImageResult]]:
        while held:
            yield held.popleft()
        yield from results

    return given_back()


def _write(result: ImageResult, journal: Journal, costs: Journal, progress: Progress) -> None:
    journal.append(result.unit, result.records)
    costs.append(costs.next_unit, [{"cost": result.cost}])
    for record in result.records:
        progress.add({**record, "unit": [result.unit]})
    progress.pass_image(result.unit)
    progress.add_cost(result.cost)


def _tasks(dataset: Dataset, next_unit: int, failed: Sequence[Failure]) -> Iterator[ImageTask]:
    """What is to be done: the images from ``next_unit`` on, then once more what ``failed``."""
    num_images = max(dataset.num_images, 1)
    for place, group in islice(enumerate(dataset.groups()), next_unit, None):
        yield ImageTask(place, group)
    if not failed:
        return
    wanted = frozenset(failure.sample_id for failure in failed)
    images = {failure.image for failure in failed}
    # A round that was interrupted is left as it is: what it did not come to is still among the failures.
    offset = max(-(-next_unit // num_images), 1) * num_images
    for place, group in enumerate(dataset.groups()):
        if group.image_name in images:
            yield ImageTask(offset + place, group, wanted)


def _describe(models: Models, known: str, *, config: RunConfig) -> dict[str, Any]:
    if config.job != "annotate":
        require_predicted_iou(models.policy, config.job)
    if config.search.num_candidates > 1:
        require_predicted_iou(models.policy, "a choice between candidates")
    return {
        "versions": package_versions(models.policy, models.tool),  # Those of the machine that works.
        "settings": {
            "policy": models.policy.name,
            "policy_answers": policy_answers(models.policy, known),
            "tool": models.tool.name,
            "tool_answers": tool_answers(models.tool),
            "calibration": None if models.calibration is None else models.calibration.to_dict(),
        },
        # Beside the journal, not in its settings: the evidence is what the knots were made of, and decides no record.
        "calibration": None
        if models.calibration is None
        else calibration_content(models.calibration, models.evidence, {"policy": models.policy.name}),
    }


def _processes(make: MakeModels, *, workers: int | None) -> AbstractContextManager[Asking[Models]]:
    return worker_processes(make, workers)


def _died(tasks: Sequence[ImageTask]) -> list[ImageResult]:
    return fail_all(tasks, DIED)


def _batches(tasks: Iterable[ImageTask], size: int) -> Iterator[list[ImageTask]]:
    iterator = iter(tasks)
    while batch := list(islice(iterator, size)):
        yield batch


def _closable(results: Iterator[list[ImageResult]]) -> Generator[list[ImageResult], None, None]:
    yield from results


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder ({error.strerror}); choose another name") from error
    return folder
