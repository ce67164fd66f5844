"""A whole data set audited, refined or annotated into a run folder; see :mod:`segagent.runs.run` for how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from segagent.annotation.batch.choosing import ChosenDataset
from segagent.annotation.batch.config import RunConfig
from segagent.annotation.batch.folder import CALIBRATION_NAME, COSTS_FILE, JOURNAL_FILE, open_run
from segagent.annotation.batch.models import MakeModels, Models
from segagent.annotation.batch.summary import write_summary
from segagent.annotation.batch.work import no_iou, objects_played
from segagent.annotation.single import require_doubts
from segagent.core import InputError
from segagent.core.extensions import extension_versions
from segagent.datasets import Dataset
from segagent.evaluation.calibration import calibration_content
from segagent.imaging.writing import made_folder, write_bytes
from segagent.policies import require_predicted_iou, with_guidelines
from segagent.runs.fingerprint import known_answers
from segagent.runs.playing import ImageResult
from segagent.runs.progress import Progress, Watch
from segagent.runs.run import Plan, carry_out
from segagent.runs.session import How, Session

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
    "tool_opinion": "--tool-opinion",
    "only.image": "--only",
    "only.category": "--only",
    "only.id": "--only",
    "only.doubtful": "--only",
    "guidelines": "--guidelines",
}
"""How a run's settings are given to the commands."""

ENOUGH_WITHOUT_IOU = 3
"""After so many first objects without a predicted IoU a policy is taken to predict none."""


def run_job(
    dataset: Dataset,
    make_models: MakeModels,
    out: str | Path,
    config: RunConfig,
    *,
    notes: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    **how: Unpack[How],
) -> Progress:
    """Do ``config.job`` to every object of ``dataset`` into the folder ``out``, or go on where an earlier run stopped.

    ``out``/journal.jsonl is a :class:`segagent.runs.journal.Journal`: one unit per image, one record per object, in the
    data set's order. ``summary.json`` tells what came of it, see :func:`segagent.annotation.batch.summarise_run`.

    Args:
        dataset: whose objects.
        make_models: see :data:`MakeModels`.
        out: the run folder, made where it is missing. One with another data set, settings or weights is refused.
        config: what to do.
        notes: kept in the journal's header for those who read the run.
        watch: called at the beginning and after each batch of images.
        how: ``workers``, ``open_workers``, ``limit``, ``budget`` and ``retry_failed``: see
            :class:`segagent.runs.session.Session`.

    Raises:
        InputError: for a folder that cannot be written or gone on with.
        SegAgentError: if a model cannot be made, a server fails for good, or workers keep dying. What is done stays.
    """
    session = Session(**how)
    if config.only.in_data and not isinstance(dataset, ChosenDataset):
        dataset = ChosenDataset(dataset, config.only)
    folder = made_folder(out)
    with session.asking(partial(_guided, make_models, config.guidelines) if config.guidelines else make_models) as ask:
        (about,) = ask(partial(_describe, config=config), [known_answers(folder / JOURNAL_FILE)])
        settings = {"what": config.job, "dataset": dataset.fingerprint, "num_images": dataset.num_images}
        plan = Plan(
            dataset,
            objects_played(config),
            folder / JOURNAL_FILE,
            {**settings, **about["settings"], **config.to_dict()},
            {"dataset": dataset.spec, "versions": about["versions"] | extension_versions(dataset), **(notes or {})},
            OPTIONS,
            batch_images=config.batch_images,
            costs=folder / COSTS_FILE,
            outcome_of=_outcome,
            first_look=None
            if config.job == "annotate"
            else partial(_refuse_without_iou, policy=about["settings"]["policy"], job=config.job),
        )

        def begun(progress: Progress) -> None:
            path = folder / CALIBRATION_NAME
            if about["calibration"] is not None and not path.exists():
                write_bytes(path, about["calibration"].encode("ascii"))
            if watch is not None:
                watch(progress)

        progress = carry_out(plan, ask, session, begun)
    write_summary(open_run(folder), progress.stopped)
    return progress


def _outcome(record: Mapping[str, Any]) -> str:
    return str(record["outcome"])


def _refuse_without_iou(results: Iterator[list[ImageResult]], *, policy: str, job: str) -> None:
    """Take first results until one object was given an IoU.

    Whether a served policy predicts IoUs only its replies can tell. Raises ``InputError`` where the first
    :data:`ENOUGH_WITHOUT_IOU` objects that it answered, or all if they are fewer, got none.
    """
    without, answered = 0, False
    for batch in results:
        reasons = [record.get("reason") for result in batch for record in result.records]
        without += sum(reason == no_iou(policy) for reason in reasons)
        answered = any(reason is None for reason in reasons)
        if answered or without >= ENOUGH_WITHOUT_IOU:
            break
    if without and not answered:
        raise InputError(f"{no_iou(policy)}, which {job} needs; use another policy, or a prompt that asks for it")


def _guided(make_models: MakeModels, guidelines: str) -> Models:
    models = make_models()
    return replace(models, policy=with_guidelines(models.policy, guidelines))


def _describe(models: Models, known: str, *, config: RunConfig) -> dict[str, Any]:
    if config.only.doubtful:
        require_doubts(models.policy)
    if config.job != "annotate":
        require_predicted_iou(models.policy, config.job)
    if config.search.num_candidates > 1:
        require_predicted_iou(models.policy, "a choice between candidates")
    calibration = models.calibration
    return {
        "versions": models.versions(),  # Those of the machine that works.
        "settings": {**models.names(known), "calibration": None if calibration is None else calibration.to_dict()},
        # Beside the journal, not in its settings: the evidence is what the knots were made of, and decides no record.
        "calibration": None
        if calibration is None
        else calibration_content(calibration, models.evidence, {"policy": models.policy.name}),
    }
