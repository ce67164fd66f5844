"""Where a mask comes from, in words that travel with it: who made it, with which clicks, how good it should be."""

from __future__ import annotations

from typing import Any

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.people import LeftObject
from segagent.core import Box, Click
from segagent.core.versions import package_versions

PROVENANCE_KEY = "segagent"
PROVENANCE_SCHEMA = "segagent.provenance/1"


def provenance_of(run: Run, record: ObjectRecord, accepted: bool | None, *, best_try: bool = False) -> dict[str, Any]:
    """JSON form; what is unknown is left out. See docs/export.md for what each key means.

    ``accepted``: whether the mask was taken as final; None where that was not asked. ``best_try``: the mask of an
    object that was not found is told.
    """
    trajectory = record.trajectory
    by_model = best_try or record.outcome in ("repaired", "made")
    prompts = trajectory.prompts_at(trajectory.returned) if by_model else []
    boxes = [prompt for prompt in prompts if isinstance(prompt, Box)]
    facts: dict[str, Any] = {
        "schema": PROVENANCE_SCHEMA,
        "object_id": record.object_id,
        "made_by": "model" if by_model else {"not_found": None}.get(record.outcome, "given"),
        "outcome": record.outcome,
        "text": record.text,
        "predicted_iou": _rounded(record.predicted_iou),
        "calibrated_iou": _rounded(run.calibrated(record.predicted_iou, record.doubts)),
        "given_predicted_iou": _rounded(record.given_iou) if record.outcome == "repaired" else None,
        "given_calibrated_iou": _rounded(run.calibrated(record.given_iou, record.doubts))
        if record.outcome == "repaired"
        else None,
        "accepted": accepted,
        "clicks": [[click.x, click.y, click.positive] for click in prompts if isinstance(click, Click)] or None,
        "box": [boxes[0].x0, boxes[0].y0, boxes[0].x1, boxes[0].y1] if boxes else None,
        "doubts": list(record.doubts) or None,
        "policy": trajectory.policy,
        "tool": trajectory.tool,
        "seed": trajectory.seed,
        "versions": versions_of(run),
    }
    return {key: value for key, value in facts.items() if value is not None}


def person_provenance(
    facts: dict[str, Any], outcome: str, by: str | None, when: str | None, source: str, made_by: str = "person"
) -> dict[str, Any]:
    """The provenance of a mask that a person has "corrected" or "confirmed"; ``facts`` is that of the run's mask.

    ``source``: the file that the person's mask was read from. ``made_by`` "model": the person took one of its masks.
    """
    kept: dict[str, Any] = {key: facts[key] for key in ("schema", "object_id", "text") if key in facts}
    person = {"made_by": made_by, "outcome": outcome, "by": by, "when": when, "source": source, "instead_of": facts}
    return {**kept, **{key: value for key, value in person.items() if value is not None}}


def left_provenance(run: Run, one: LeftObject, accepted: bool | None, *, best_try: bool = False) -> dict[str, Any]:
    """Where the mask is from that an object has as people left it, and what people said of it.

    Empty for objects that failed, or that the run has not come to, and nobody has done anything to.
    """
    touched = bool(one.stands) or one.relabelled or one.rephrased
    facts: dict[str, Any] = {}
    if one.record is not None:
        facts = provenance_of(run, one.record, None if touched else accepted, best_try=best_try)
    if not touched or one.standing is None:
        return facts
    now, stands = one.now, one.stands
    event = now.drawn or now.named if stands in ("corrected", "taken", "added") else now.judged if stands else now.named
    by, when, source = (None, None, "") if event is None else (event.by, event.when, event.source)
    if not facts:
        facts = {"schema": PROVENANCE_SCHEMA, "object_id": one.object_id}
    if stands in ("corrected", "taken", "added", "confirmed"):
        made_by = "person" if stands == "confirmed" else now.made_by or "person"
        facts = person_provenance(facts, stands, by, when, source, made_by)
    if one.record is None:
        facts.pop("instead_of", None)
    was = {"text": one.said[0], "category": one.said[1]} if one.relabelled or one.rephrased else {}
    more = {
        "text": one.text,
        "accepted": accepted,
        "by": by,
        "when": when,
        "source": source or None,
        "tool": event.tool if event is not None else None,
        "policy": event.policy if event is not None else None,
        "verdict": now.verdict if stands != "confirmed" else None,
        "was": {key: value for key, value in was.items() if value is not None} or None,
        "notes": [note.text for note in one.standing.notes] or None,
        "contested": True if one.standing.contested else None,
    }
    return facts | {key: value for key, value in more.items() if value is not None}


def versions_of(run: Run) -> dict[str, str]:
    """Of the packages that made the run, as its journal tells; those installed here where it does not."""
    versions = run.notes.get("versions")
    if not isinstance(versions, dict):
        return package_versions()
    return {str(name): str(value) for name, value in versions.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
