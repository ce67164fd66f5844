"""What a person asks for, done: a request becomes an event that tells what came of it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from segagent.annotation.people import Event, Standing
from segagent.core import BoolMask, Box, Click, Finish, InputError, Prompt, Rle, action_to_dict, encode_rle
from segagent.server.review import wire
from segagent.server.review.drawing import with_polygon, with_stroke
from segagent.server.review.objects import Served, chain_of
from segagent.server.review.session import ReviewSession

SOURCE = "review"


class ConflictError(InputError):
    """What is asked for cannot be done to the object as it stands."""


@dataclass(frozen=True)
class Done:
    """What became of a request: the object and how it stood after the event of ``number``. ``mask`` None: nothing tells
    its size.
    """

    served: Served
    standing: Standing
    number: int
    mask: Rle | None
    contested: bool
    milliseconds: float


def do(session: ReviewSession, index: int, asked: Any) -> Done:
    """Do what ``asked``, one of the requests of :mod:`wire`, says to the object of that index.

    One request at a time per object, in the order they come. What was asked for under the same request name before is
    not done again. Raises ``InputError`` where it cannot be done, and what the models raise.
    """
    began = time.perf_counter()
    served = session.object(index)
    with served.turn:
        return _once(session, asked, began, lambda: _event(session, served, asked), served)


def add(session: ReviewSession, image: str, asked: wire.AddedAsked) -> Done:
    """A new object on an image; else as :func:`do`."""
    began = time.perf_counter()
    object_id = "added-" + hashlib.blake2b(asked.request.encode(), digest_size=8).hexdigest()

    def make() -> Event:
        told: dict[str, Any] = {}
        if asked.words:
            told = _agent(
                session, image, _said(asked)["text"], session.empty(image), wire.MAX_STEPS, "finds no such thing"
            )
            told["did"] = {"words": True, **told["did"]}
        return Event("added", object_id, image, source=SOURCE, **_common(session, asked), **_said(asked), **told)

    with session.adding(image):
        return _once(session, asked, began, make, None)


def suggest(session: ReviewSession, index: int) -> tuple[dict[str, Any] | Literal["finish"] | None, float | None]:
    """The policy's next click or "finish" for an object as it stands, and the IoU that it predicts of the mask.

    None for an action that could not be taken. Nothing is recorded. Raises what the models raise.
    """
    served = session.object(index)
    mask = session.mask(served)
    action, predicted = session.hands.suggest(served.image, served.text, mask)
    if isinstance(action, Finish):
        return "finish", predicted
    if isinstance(action, Click) and action.inside(*mask.shape):
        return {"x": action.x, "y": action.y, "positive": action.positive}, predicted
    return None, predicted


def _once(
    session: ReviewSession,
    asked: Any,
    began: float,
    make: Callable[[], Event],
    served: Served | None,
) -> Done:
    before = session.done(asked.request)
    if before is None:
        session.append([make()])
        before = session.done(asked.request)
        assert before is not None
    found, number = before
    event = found.event(number)
    said = {name: getattr(event, name) for name in _said(asked)}
    if (served or found) is not found or event.kind != getattr(asked, "kind", "added") or said != _said(asked):
        raise ConflictError("a request of this name was another one; a new one needs a new name")
    standing = found.standing if found.standing.number == number else found.at(number)
    milliseconds = round((time.perf_counter() - began) * 1000, 1)
    try:
        mask = session.rle(found, standing)
    except InputError:
        mask = None  # Its picture cannot be read; whoever looks at the object is told why.
    return Done(found, standing, number, mask, number in standing.contested, milliseconds)


def _common(session: ReviewSession, asked: Any) -> dict[str, Any]:
    return {
        "by": session.plan.by or asked.by,
        "when": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "seen": asked.seen,
        "request": asked.request,
    }


def _event(session: ReviewSession, served: Served, asked: Any) -> Event:
    told = {**_said(asked), **_found(session, served, asked)}
    return Event(asked.kind, served.object_id, served.image, source=SOURCE, **_common(session, asked), **told)


def _said(asked: Any) -> dict[str, Any]:
    """What the request itself says of the event."""
    match asked:
        case wire.ClickAsked():
            return {"did": {"x": asked.x, "y": asked.y, "positive": asked.positive}}
        case wire.BoxAsked():
            return {"did": {"box": asked.box}}
        case wire.StrokeAsked():
            return {"did": {"points": asked.points, "radius": asked.radius, "positive": asked.positive}}
        case wire.PolygonAsked():
            return {"did": {"points": asked.points, "positive": asked.positive}}
        case wire.TakeAsked():
            return {"did": {"take": asked.take}}
        case wire.VerdictAsked():
            return {"verdict": asked.verdict}
        case wire.NoteAsked() | wire.RephrasedAsked():
            return {"text": asked.text}
        case wire.RelabelledAsked():
            return {"label": asked.label}
        case wire.AddedAsked():
            return {"label": asked.label, "text": asked.text or asked.label}
        case _:
            return {}


def _found(session: ReviewSession, served: Served, asked: Any) -> dict[str, Any]:
    """What comes of the request for the object as it stands."""
    standing = served.standing
    match asked:
        case wire.ClickAsked(x=x, y=y, positive=positive):
            return _prompted(session, served, Click(x, y, positive))
        case wire.BoxAsked(box=[x0, y0, x1, y1]):
            return _prompted(session, served, Box(x0, y0, x1 + 1, y1 + 1))
        case wire.StrokeAsked():
            mask = with_stroke(session.mask(served), asked.points, asked.radius, asked.positive)
            return {"mask": encode_rle(mask)}
        case wire.PolygonAsked():
            return {"mask": encode_rle(with_polygon(session.mask(served), asked.points, asked.positive))}
        case wire.AgentAsked():
            return _agent(session, served.image, served.text, session.mask(served), asked.steps)
        case wire.TakeAsked(take=take):
            rle: Rle | None = getattr(session.run_masks(served), take)
            if rle is None:
                raise ConflictError(f"the run has no such mask of this object: {take}")
            return {"mask": rle}
        case wire.PlainAsked(kind="undo") if not standing.can_undo:
            raise ConflictError("nothing is left to undo")
        case wire.PlainAsked(kind="redo") if not standing.can_redo:
            raise ConflictError("nothing is left to redo")
        case wire.VerdictAsked():
            return {"did": dict(session.plan.drawn)}
        case wire.RelabelledAsked():
            return {"was": served.label}
        case _:
            return {}


def _prompted(session: ReviewSession, served: Served, newest: Prompt) -> dict[str, Any]:
    tool = session.hands.tool_name()
    if isinstance(newest, Box):
        # Who draws a box means what is in it, whatever the mask is now.
        began = now = session.empty(served.image)
        prompts: tuple[Prompt, ...] = ()
    else:
        chain = chain_of(served, tool)
        began, prompts, now = session.base(served, chain.began), chain.prompts, session.mask(served)
    return {"mask": encode_rle(session.hands.prompt(served.image, began, prompts, now, newest)), "tool": tool}


def _agent(
    session: ReviewSession,
    image: str,
    text: str,
    mask: BoolMask,
    steps: int,
    otherwise: str = "changes nothing",
) -> dict[str, Any]:
    """What the policy makes of ``mask``: its actions, the mask that they led to, and who it was with which tool."""
    played = session.hands.go_on(image, text, mask, steps)
    if not played.returned:
        raise ConflictError(f"the policy {otherwise}")
    actions = [action_to_dict(played.steps[state - 1].action) for state in played.path_to(played.returned)]
    rle = played.rle_at(played.returned)
    return {"mask": rle, "did": {"actions": actions}, "policy": played.policy, "tool": played.tool}
