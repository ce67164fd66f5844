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
from segagent.server.review.objects import Chain, Served, chain_of
from segagent.server.review.session import ReviewSession

SOURCE = "review"


class ConflictError(InputError):
    """What is asked for cannot be done to the object as it stands."""


@dataclass(frozen=True)
class Done:
    """What became of a request: the object and how it stood after the event of ``number``."""

    served: Served
    standing: Standing
    number: int
    mask: Rle
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
        return _once(session, asked, began, lambda: (served, [_event(session, served, asked)]), served)


def add(session: ReviewSession, image: str, asked: wire.AddedAsked) -> Done:
    """A new object on an image; else as :func:`do`."""
    began = time.perf_counter()
    object_id = "added-" + hashlib.blake2b(asked.request.encode(), digest_size=8).hexdigest()
    text = asked.text or asked.label

    def make() -> tuple[Served | None, list[Event]]:
        common = _common(session, asked)
        event = Event("added", object_id, image, source=SOURCE, label=asked.label, text=text, **common)
        if not asked.words:
            return None, [event]
        empty = session.empty(image)
        actions, mask, policy, tool = _agent(session, image, text, empty, wire.MAX_STEPS)
        # Two events: that the object is there is the person's, its mask the policy's.
        found = Event(
            "agent",
            object_id,
            image,
            source=SOURCE,
            mask=encode_rle(mask),
            did={"actions": actions},
            policy=policy,
            tool=tool,
            **common,
        )
        return None, [event, found]

    with session.adding:
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
    make: Callable[[], tuple[Served | None, list[Event]]],
    served: Served | None,
) -> Done:
    before = session.done(asked.request)
    if before is None:
        session.append(make()[1])
        before = session.done(asked.request)
        assert before is not None
    found, number = before
    event = found.event(number)
    if (served is not None and found is not served) or (event.kind != getattr(asked, "kind", event.kind)):
        raise ConflictError("a request of this name was another one; a new one needs a new name")
    standing = found.standing if found.standing.number == number else found.at(number)
    milliseconds = round((time.perf_counter() - began) * 1000, 1)
    return Done(found, standing, number, session.rle(found, standing), number in standing.contested, milliseconds)


def _common(session: ReviewSession, asked: Any) -> dict[str, Any]:
    return {
        "by": session.plan.by or asked.by,
        "when": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "seen": asked.seen,
        "request": asked.request,
    }


def _event(session: ReviewSession, served: Served, asked: Any) -> Event:
    told = _told(session, served, asked)
    return Event(asked.kind, served.object_id, served.image, source=SOURCE, **_common(session, asked), **told)


def _told(session: ReviewSession, served: Served, asked: Any) -> dict[str, Any]:
    """What the event says besides who and when."""
    standing = served.standing
    match asked:
        case wire.ClickAsked(x=x, y=y, positive=positive):
            return _prompted(session, served, Click(x, y, positive), {"x": x, "y": y, "positive": positive})
        case wire.BoxAsked(box=box):
            x0, y0, x1, y1 = box
            return _prompted(session, served, Box(x0, y0, x1 + 1, y1 + 1), {"box": box})
        case wire.StrokeAsked():
            mask = with_stroke(session.mask(served), asked.points, asked.radius, asked.positive)
            did = {"points": asked.points, "radius": asked.radius, "positive": asked.positive}
            return {"mask": encode_rle(mask), "did": did}
        case wire.PolygonAsked():
            mask = with_polygon(session.mask(served), asked.points, asked.positive)
            return {"mask": encode_rle(mask), "did": {"points": asked.points, "positive": asked.positive}}
        case wire.AgentAsked():
            actions, mask, policy, tool = _agent(session, served.image, served.text, session.mask(served), asked.steps)
            return {"mask": encode_rle(mask), "did": {"actions": actions}, "policy": policy, "tool": tool}
        case wire.TakeAsked(take=take):
            rle: Rle | None = getattr(session.run_masks(served), take)
            if rle is None:
                raise ConflictError(f"the run has no such mask of this object: {take}")
            return {"mask": rle, "did": {"take": take}}
        case wire.PlainAsked(kind="undo") if not standing.can_undo:
            raise ConflictError("nothing is left to undo")
        case wire.PlainAsked(kind="redo") if not standing.can_redo:
            raise ConflictError("nothing is left to redo")
        case wire.PlainAsked():
            return {}
        case wire.VerdictAsked():
            return {"verdict": asked.verdict, "did": dict(session.plan.drawn)}
        case wire.NoteAsked() | wire.RephrasedAsked():
            return {"text": asked.text}
        case wire.RelabelledAsked():
            return {"label": asked.label, "was": served.label}
        case _:
            raise TypeError(f"no request: {type(asked).__name__}")


def _prompted(session: ReviewSession, served: Served, newest: Prompt, did: dict[str, Any]) -> dict[str, Any]:
    tool = session.hands.tool_name()
    chain = chain_of(served, tool)
    now = session.mask(served)
    if isinstance(newest, Box):
        # Who draws a box means what is in it, whatever the mask is now.
        now = session.empty(served.image)
        chain = Chain(encode_rle(now), ())
    mask = session.hands.prompt(served.image, session.base(served, chain.began), chain.prompts, now, newest)
    return {"mask": encode_rle(mask), "did": did, "tool": tool}


def _agent(
    session: ReviewSession, image: str, text: str, mask: BoolMask, steps: int
) -> tuple[list[dict[str, object]], BoolMask, str, str]:
    """The policy's actions from ``mask`` on, the mask they led to, and who it was with which tool."""
    played = session.hands.go_on(image, text, mask, steps)
    if not played.returned:
        raise ConflictError("the policy would leave the mask as it is")
    actions = [action_to_dict(played.steps[state - 1].action) for state in played.path_to(played.returned)]
    return actions, played.mask_at(played.returned), played.policy, played.tool
