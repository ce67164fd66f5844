"""Answers as JSON values."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from segagent.annotation.batch import ObjectRecord, Run
from segagent.annotation.people import Event, Standing
from segagent.core import Click, InputError
from segagent.server.review.deeds import Done
from segagent.server.review.inspecting import OnImage, inspect
from segagent.server.review.objects import Served, prompt_of
from segagent.server.review.session import ReviewSession

COLUMNS = (
    "index", "object_id", "image", "image_name", "text", "category", "outcome", "likely_error", "evidence",
    "expected_iou", "expected_iou_given", "predicted_iou", "num_clicks", "doubts", "reason",
    "verdict", "removed", "added", "touched", "by", "contested", "assigned", "also", "notes", "standing_number",
)  # fmt: skip
"""What /objects tells of each object; the rows' values come in this order."""
_PREDICTED = (
    "likely_error", "evidence", "expected_iou", "expected_iou_given", "predicted_iou", "predicted_iou_given",
    "num_clicks",
)  # fmt: skip
"""What a person who checks is not told, lest it lead them."""


def session_view(session: ReviewSession) -> dict[str, Any]:
    """What is served, and to whom."""
    notes, config, plan = session.run.notes, session.run.config, session.plan
    served = session.objects()
    labels = {one.label for one in served} | {one.entry.category for one in served}
    return {
        "run": session.run.folder.resolve().name,
        "id": _run_id(session.run),
        "job": session.run.job,
        "dataset": str(notes.get("dataset", "")),
        "policy": plan.policy or str(notes.get("policy", config.get("policy", ""))),
        "tool": plan.tool or str(notes.get("tool", config.get("tool", ""))),
        "by": plan.by,
        "classes": sorted(label for label in labels if label),
        "guidelines": plan.guidelines,
        "number": session.number,
        "people": session.people(),
        "mode": "review" if plan.sample is None else "check",
        "images": len(session.pictures.names),
        "objects": len(session.shown()),
    }


def _run_id(run: Run) -> str:
    """A name that no other run has, so that what a browser keeps of one is never sent to another on the same port."""
    told = json.dumps([str(run.folder.resolve()), run.config], sort_keys=True)
    return hashlib.blake2b(told.encode("ascii"), digest_size=8).hexdigest()


def objects_view(session: ReviewSession) -> dict[str, Any]:
    """The work list."""
    number = session.number
    rows = []
    for served in session.shown():
        told = _row(session, served)
        rows.append([told[name] for name in COLUMNS])
    return {"columns": list(COLUMNS), "rows": rows, "number": number}


def object_view(session: ReviewSession, served: Served) -> dict[str, Any]:
    """One object, with all that was done to it."""
    standing = served.standing
    masks = session.run_masks(served)
    problem = ""
    try:
        height, width = session.size(served.image)
        mask = session.rle(served)
    except InputError as error:
        height, width, mask, problem = 0, 0, None, str(error)
    return {
        **{name: value for name, value in _row(session, served).items() if name not in ("notes", "standing_number")},
        "width": width,
        "height": height,
        "problem": problem,
        "masks": {"given": masks.given, "answer": masks.answer, "best": masks.best},
        "mask": mask,
        "clicks": _clicks(session, served),
        "standing": standing_view(served, standing),
        "history": [_event_view(event) for event in served.events],
    }


def image_view(session: ReviewSession, key: str) -> dict[str, Any]:
    """An image with all its objects as they stand."""
    name = session.image(key)
    height, width = session.size(name)
    objects, looked_at = [], []
    for served in session.on_image(name):
        standing = served.standing
        rle = standing.now.mask or session.run_masks(served).answer
        label = served.label or served.text or served.object_id
        objects.append({"index": served.index, "rle": rle, "label": label, "removed": standing.now.removed})
        if not standing.now.removed and standing.now.verdict != "absent":
            looked_at.append(OnImage(served.index, label, rle, session.boxes.get(served.object_id)))
    warnings = [one.to_dict() for one in inspect(looked_at)]
    return {"key": key, "name": name, "width": width, "height": height, "objects": objects, "warnings": warnings}


def done_view(done: Done) -> dict[str, Any]:
    """What came of an event."""
    return {
        "number": done.number,
        "index": done.served.index,
        "standing": standing_view(done.served, done.standing),
        "mask": done.mask,
        "contested": done.contested,
        "milliseconds": done.milliseconds,
    }


def standing_view(served: Served, standing: Standing) -> dict[str, Any]:
    """How an object stands."""
    now = standing.now
    return {
        "number": standing.number,
        "verdict": now.verdict,
        "label": served.entry.category if now.label is None else now.label,
        "text": served.entry.text if now.text is None else now.text,
        "removed": now.removed,
        "added": standing.added,
        "touched": is_touched(standing),
        "changed": now.mask is not None,
        "made_by": now.made_by,
        "can_undo": standing.can_undo,
        "can_redo": standing.can_redo,
        "by": standing.by,
        "when": standing.when,
        "people": list(standing.people),
        "contested": list(standing.contested),
        "notes": [{"by": note.by, "when": note.when, "text": note.text} for note in standing.notes],
    }


def is_touched(standing: Standing) -> bool:
    """Whether anything that people did holds, or a note is there."""
    return standing.added or standing.place > 0 or bool(standing.notes)


def _row(session: ReviewSession, served: Served) -> dict[str, Any]:
    standing = served.standing
    shares = session.plan.shares.get(served.object_id, ())
    told: dict[str, Any] = {
        **served.entry.to_dict(),
        "index": served.index,
        "image": session.pictures.keys.get(served.image, ""),
        "image_name": served.image,
        "text": served.text,
        "category": served.label,
        "verdict": standing.now.verdict,
        "removed": standing.now.removed,
        "added": standing.added,
        "touched": is_touched(standing),
        "by": standing.by,
        "contested": bool(standing.contested),
        "assigned": shares[0] if shares else "",
        "also": list(shares[1:]),
        "notes": "\n".join(note.text for note in standing.notes),
        "standing_number": standing.number,
    }
    if session.plan.sample is not None:
        told.update(dict.fromkeys(_PREDICTED), likely_error="", evidence="", doubts=[])
    return told


def _clicks(session: ReviewSession, served: Served) -> list[list[Any]]:
    """The clicks that made the mask as it is: people's, or the run's where nobody has changed it."""
    standing = served.standing
    if standing.now.mask is None:
        if served.index >= len(session.catalogue.entries):
            return []
        record = session.catalogue.record(served.index)
        clicks = record.trajectory.clicks if isinstance(record, ObjectRecord) and record.outcome != "not_found" else []
        return [[click.x, click.y, click.positive] for click in clicks]
    made: list[Click] = []
    for moment in standing.moments[1 : standing.place + 1]:
        event = served.event(moment.number)
        if event.mask is not None:
            # What begins anew leaves no clicks behind.
            made = made if event.kind in ("click", "stroke", "polygon") else []
            if isinstance(click := prompt_of(event), Click):
                made.append(click)
    return [[click.x, click.y, click.positive] for click in made]


def _event_view(event: Event) -> dict[str, Any]:
    did = event.did
    if "points" in did:
        # Thousands of them, and the mask after them is what counts.
        did = {**did, "points": len(did["points"])}
    words = {name: value for name in ("verdict", "label", "text") if (value := getattr(event, name)) is not None}
    return {"number": event.number, "kind": event.kind, "by": event.by, "when": event.when, "did": {**did, **words}}
