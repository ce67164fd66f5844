"""A run as a work list: one entry per object, those most worth a person's look first. Entries hold no masks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from segagent.annotation.batch import ObjectRecord, Run, audit_score, likely_error
from segagent.annotation.batch.checked import mask_digest
from segagent.annotation.batch.folder import JOURNAL_FILE
from segagent.core import InputError
from segagent.core.failures import Failure

FAILED = "failed"
"""What stands in place of an outcome where an object could not be worked on."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """What the work list tells of one object.

    ``index`` counts the run's records. ``outcome`` is one of the run's, or :data:`FAILED`. IoUs in [0, 1]: predicted by
    the policy, and what masks so predicted are worth (expected); ``given``: of the mask that was given. None where
    there is no such mask or nothing was predicted. ``likely_error`` and its ``evidence`` speak of the given mask, or of
    the answer where none was given; empty where the object failed or was not found, and ``reason`` says why it failed.
    ``order``: by what objects are listed, lowest first; of an audited mask what :func:`audit_score` says, of others the
    predicted IoU of the answer. ``mask``: the answer's digest (:func:`mask_digest`); empty where there is none.
    """

    index: int
    object_id: str
    image: str
    outcome: str
    text: str = ""
    category: str | None = None
    predicted_iou_given: float | None = None
    expected_iou_given: float | None = None
    predicted_iou: float | None = None
    expected_iou: float | None = None
    likely_error: str = ""
    evidence: str = ""
    num_clicks: int = 0
    doubts: tuple[str, ...] = ()
    reason: str = ""
    order: float | None = None
    mask: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without ``index``, ``order`` and ``mask``."""
        return {
            "object_id": self.object_id,
            "image": self.image,
            "outcome": self.outcome,
            "text": self.text,
            "category": self.category,
            "likely_error": self.likely_error,
            "evidence": self.evidence,
            "predicted_iou_given": _rounded(self.predicted_iou_given),
            "expected_iou_given": _rounded(self.expected_iou_given),
            "predicted_iou": _rounded(self.predicted_iou),
            "expected_iou": _rounded(self.expected_iou),
            "num_clicks": self.num_clicks,
            "doubts": list(self.doubts),
            "reason": self.reason,
        }


def entries_of(run: Run) -> Iterator[WorkItem]:
    """An entry for each object of the run, in its order. Raises ``InputError`` where a record is damaged."""
    for index, record in enumerate(run.records()):
        if isinstance(record, Failure):
            yield WorkItem(index, record.sample_id, record.image, FAILED, reason=record.reason)
            continue
        try:
            yield _entry(index, record, run)
        except ValueError as error:
            raise InputError(
                f"{run.folder}: the record of object {record.object_id!r:.80} is damaged ({error})"
            ) from error


def num_records(run: Run) -> int:
    """How many records there are, those of objects that were tried again counted each time."""
    if run.chosen is not None:
        return len(run.chosen)
    with (run.folder / JOURNAL_FILE).open("rb") as file:
        return max(sum(1 for _ in file) - 1, 0)


def ranked(entries: Sequence[WorkItem]) -> list[WorkItem]:
    """Worst first: failures, then objects not found, then the lowest ``order``.

    Where nothing was predicted, nothing speaks for the mask, so it goes before those with a prediction.
    """

    def key(entry: WorkItem) -> tuple[int, float, int]:
        group = {FAILED: 0, "not_found": 1}.get(entry.outcome, 2)
        order = -math.inf if entry.order is None else entry.order
        return group, order if group == 2 else 0.0, entry.index

    return sorted(entries, key=key)


def drawn(entries: Sequence[WorkItem], most: int) -> list[WorkItem]:
    """Which of the ranked ``entries`` to show pictures of, at most ``most``, in their order.

    Failed objects have no mask to show. Not to lose the scored masks behind many objects that were not found, those get
    a quarter of the pictures, or what the others leave.
    """
    absent = [entry for entry in entries if entry.outcome == "not_found"]
    scored = [entry for entry in entries if entry.outcome not in (FAILED, "not_found")]
    share = max(most // 4, most - len(scored))
    absent = absent[:share]
    return absent + scored[: most - len(absent)]


def _entry(index: int, record: ObjectRecord, run: Run) -> WorkItem:
    expected_given, expected = (run.calibrated(iou, record.doubts) for iou in (record.given_iou, record.predicted_iou))
    label = evidence = ""
    if record.outcome != "not_found":
        likely = likely_error(record, expected if record.outcome == "made" else expected_given)
        label, evidence = likely.label, likely.reason
    return WorkItem(
        index=index,
        object_id=record.object_id,
        image=record.image,
        outcome=record.outcome,
        text=record.text,
        category=record.category,
        predicted_iou_given=record.given_iou,
        expected_iou_given=expected_given,
        predicted_iou=record.predicted_iou,
        expected_iou=expected,
        likely_error=label,
        evidence=evidence,
        num_clicks=len(record.trajectory.clicks),
        doubts=record.doubts,
        order=audit_score(record) if record.outcome == "audited" else record.predicted_iou,
        mask="" if record.outcome == "not_found" else mask_digest(record),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
