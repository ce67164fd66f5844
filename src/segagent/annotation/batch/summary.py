"""A run in numbers: what was done, how good it is expected to be, what it cost, and what to know before all that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segagent.annotation.batch.choosing import Only
from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.likely_error import ERROR_LABELS, likely_error
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.people import count_people, objects_left, standings_of
from segagent.core.failures import Failure
from segagent.core.texts import read_json
from segagent.runs.summary import SUMMARY_FILE, summed_up, write_summary_file


def summarise_run(run: Run, *, judge: bool = True) -> dict[str, Any]:
    """Counts by outcome and by the given masks' likely errors, failures, mean expected IoUs, costs.

    ``likely_errors`` and expected IoUs are None where there is nothing to speak of. ``doubted`` objects are those that
    the policy itself has doubts about, ``unscored`` ones those whose mask it predicted no IoU of; ``images_left`` is
    how many images the run has not come to. ``only``: which objects it is about where they were chosen, else empty;
    images and costs are the whole run's. ``warnings``: what goes before all figures, as clauses, the weightiest first.
    ``people``: what people did, where they did anything (:func:`segagent.annotation.people.count_people`); all else is
    what the run has found. Without ``judge`` the likely errors, which cost the most time, are None too.
    """
    judged = judge and run.job != "annotate"
    outcomes: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    failures: list[Failure] = []
    before: list[float] = []
    after: list[float] = []
    doubted = unscored = 0
    for record in run.records():
        if not isinstance(record, ObjectRecord):
            failures.append(record)
            continue
        outcomes[record.outcome] += 1
        doubted += bool(record.doubts)
        unscored += record.predicted_iou is None
        if judged:
            errors[likely_error(record, run.calibrated(record.given_iou, record.doubts)).label] += 1
        for values, predicted in ((before, record.given_iou), (after, record.predicted_iou)):
            calibrated = run.calibrated(predicted, record.doubts)
            if calibrated is not None and record.outcome != "not_found":
                values.append(calibrated)
    summary: dict[str, Any] = {
        "run": str(run.folder),
        "job": run.job,
        "only": "; ".join(_choices(run)),
        "objects": outcomes.total() + len(failures),
        **summed_up("object", outcomes, failures, run.num_images, run.num_images_left(), run.costs()),
        "doubted": doubted,
        "unscored": unscored,
        "likely_errors": {label: errors[label] for label in ERROR_LABELS} if judged else None,
        "expected_iou_given": round(float(np.mean(before)), 4) if before else None,
        "expected_iou": round(float(np.mean(after)), 4) if after else None,
    }
    if standings := {name: one for name, one in standings_of(run).items() if run.takes(name)}:
        summary["people"] = count_people(standings.values(), objects_left(run, standings=standings))
    return {**summary, "warnings": list(_warnings(summary))}


def write_summary(run: Run, stopped: str) -> None:
    """Write ``summary.json`` into the run's folder: :func:`summarise_run`, and which budget ``stopped`` the session."""
    write_summary_file(run.folder / SUMMARY_FILE, summarise_run(run), stopped)


def read_summary(folder: str | Path) -> dict[str, Any]:
    """What :func:`write_summary` wrote. Raises ``InputError``."""
    content: dict[str, Any] = read_json(Path(folder) / SUMMARY_FILE, "expected the summary of a run")
    return content


def warnings_of(run: Run) -> list[str]:
    """What anyone who goes on with the run's masks must know first; see :func:`summarise_run`."""
    warnings: list[str] = summarise_run(run, judge=False)["warnings"]
    return warnings


def unfinished(num_left: int, num_images: int) -> str:
    """That images are missing, in words; empty where none is."""
    if not num_left:
        return ""
    return (
        f"unfinished: the run has not come to {num_left} of its images, {num_images} in all, so they are missing here; "
        "give the command that made it again"
    )


def _mostly_doubted(num_doubted: int, num_objects: int) -> str:
    """That the policy doubts most of the objects, in words; empty where it does not."""
    if 2 * num_doubted <= num_objects:
        return ""
    return f"the policy doubts {num_doubted} of {num_objects} objects: its scores mean little here"


def _choices(run: Run) -> Iterator[str]:
    """Which objects the run was made of, and which are spoken of, where they were chosen."""
    if run.made_of_some:
        yield Only.words(run.config["only"])
    if run.choice:
        yield run.choice


def _warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    done = sum(summary["outcomes"].values())
    if summary["only"]:
        yield f"only {summary['only']}: {summary['objects']} objects; the others are left as they are"
    if not summary["objects"]:
        nothing = "the choice takes no object" if summary["only"] else "the data set holds no object"
        yield "no object is done yet" if summary["images_left"] else f"{nothing}: nothing was done"
    elif not done:
        yield f"every object failed ({summary['objects']})"
    if words := _mostly_doubted(summary["doubted"], done):
        yield words
    if words := unfinished(summary["images_left"], summary["images"]):
        yield words
    if done and summary["unscored"] == done:
        yield "the policy predicts no IoU: nothing is known of how good the masks are"
    elif summary["unscored"]:
        yield f"{summary['unscored']} of {done} masks have no predicted IoU"
    for outcome, words in (("not_found", "nothing was found"), ("kept", "no mask was replaced")):
        if done and summary["outcomes"].get(outcome) == done:
            yield words
