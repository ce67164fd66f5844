"""Where a mask comes from, in words that travel with it: who made it, with which clicks, how good it should be."""

from __future__ import annotations

from typing import Any

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
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
        "calibrated_iou": _rounded(run.calibrated(record.predicted_iou)),
        "given_predicted_iou": _rounded(record.given_iou) if record.outcome == "repaired" else None,
        "given_calibrated_iou": _rounded(run.calibrated(record.given_iou)) if record.outcome == "repaired" else None,
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
    facts: dict[str, Any], outcome: str, by: str | None, when: str | None, source: str
) -> dict[str, Any]:
    """The provenance of a mask that a person has "corrected" or "confirmed"; ``facts`` is that of the run's mask.

    ``source``: the file that the person's mask was read from.
    """
    kept = {key: facts[key] for key in ("schema", "object_id", "text")}
    person = {"made_by": "person", "outcome": outcome, "by": by, "when": when, "source": source, "instead_of": facts}
    return {**kept, **{key: value for key, value in person.items() if value is not None}}


def versions_of(run: Run) -> dict[str, str]:
    """Of the packages that made the run, as its journal tells; those installed here where it does not."""
    versions = run.notes.get("versions")
    if not isinstance(versions, dict):
        return package_versions()
    return {str(name): str(value) for name, value in versions.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
