"""What goes over the wire: requests, checked and bounded, and answers, as the interface's own document tells them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field

from segagent.annotation.people import Verdict
from segagent.server.wire import Asked, RleTold, Told, Writable

MAX_POINTS = 20_000
MAX_NOTE = 4_000
MAX_WORDS = 500
MAX_NAME = 80
MAX_STEPS = 20
MAX_RADIUS = 1_000
_FAR = 32_000
"""No coordinate is farther out than that; OpenCV draws with numbers of 16 bits before the point."""
LARGEST = 2**53 - 1


Coordinate = Annotated[int, Field(ge=-_FAR, le=_FAR)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]


class _Event(Asked):
    request: Writable = Field(
        min_length=1, max_length=100, description="The client's own name for this event; the same again is done once."
    )
    seen: int = Field(0, ge=0, le=LARGEST, description="Number of the object's last event that the person has seen.")
    by: Writable | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME,
        description="Who it is; the name that the server was given goes before.",
    )


class ClickAsked(_Event):
    """A click that the tool answers: positive on what is missing, negative on what is too much."""

    kind: Literal["click"]
    x: Coordinate
    y: Coordinate
    positive: bool


class BoxAsked(_Event):
    """A box around the object, from which the tool begins anew; both ends are pixels inside it."""

    kind: Literal["box"]
    box: Annotated[list[Coordinate], Field(min_length=4, max_length=4)]


class StrokeAsked(_Event):
    """A brush stroke, or the eraser's."""

    kind: Literal["stroke"]
    points: Annotated[list[Point], Field(min_length=1, max_length=MAX_POINTS)]
    radius: int = Field(ge=0, le=MAX_RADIUS)
    positive: bool


class PolygonAsked(_Event):
    """A polygon to add or to take away."""

    kind: Literal["polygon"]
    points: Annotated[list[Point], Field(min_length=3, max_length=MAX_POINTS)]
    positive: bool = True


class AgentAsked(_Event):
    """The policy goes on from the mask as it is."""

    kind: Literal["agent"]
    steps: int = Field(5, ge=1, le=MAX_STEPS)


class TakeAsked(_Event):
    """One of the run's masks instead of the one that is there."""

    kind: Literal["take"]
    take: Literal["given", "answer", "best"]


class PlainAsked(_Event):
    """What needs no more words."""

    kind: Literal["undo", "redo", "removed", "restored"]


class VerdictAsked(_Event):
    """What a person says of the object as it is."""

    kind: Literal["verdict"]
    verdict: Verdict


class NoteAsked(_Event):
    """Words about the object."""

    kind: Literal["note"]
    text: Writable = Field(min_length=1, max_length=MAX_NOTE)


class RelabelledAsked(_Event):
    """Another class."""

    kind: Literal["relabelled"]
    label: Writable = Field(min_length=1, max_length=MAX_WORDS)


class RephrasedAsked(_Event):
    """Another sentence."""

    kind: Literal["rephrased"]
    text: Writable = Field(min_length=1, max_length=MAX_WORDS)


EventAsked = Annotated[
    ClickAsked
    | BoxAsked
    | StrokeAsked
    | PolygonAsked
    | AgentAsked
    | TakeAsked
    | PlainAsked
    | VerdictAsked
    | NoteAsked
    | RelabelledAsked
    | RephrasedAsked,
    Field(discriminator="kind"),
]


class AddedAsked(_Event):
    """A new object of an image: empty, or found by the policy from its words."""

    label: Writable = Field(min_length=1, max_length=MAX_WORDS)
    text: Writable = Field("", max_length=MAX_WORDS)
    words: bool = False


Index = Annotated[int, Path(ge=0, le=LARGEST, description="Of an object, as /objects tells it.")]


class Refused(Told):
    """Why a request was not done."""

    error: str


class SessionTold(Told):
    """What is served, and to whom. ``id``: a name that no other run has. ``by``: None where each browser says it."""

    run: str
    id: str
    job: str
    dataset: str
    policy: str
    tool: str
    by: str | None
    classes: list[str]
    guidelines: str | None
    number: int
    people: list[str]
    mode: Literal["review", "check"]
    images: int
    objects: int


class ObjectsTold(Told):
    """The work list: ``rows`` hold values in the order of ``columns``."""

    columns: list[str]
    rows: list[list[Any]]
    number: int


class NoteTold(Told):
    """A person's words."""

    by: str | None
    when: str | None
    text: str


class StandingTold(Told):
    """How an object stands. ``number``: of its last event. ``changed``: whether people have changed its mask."""

    number: int
    verdict: Verdict | None
    label: str | None
    text: str
    removed: bool
    added: bool
    touched: bool
    changed: bool
    made_by: str | None
    can_undo: bool
    can_redo: bool
    by: str | None
    when: str | None
    people: list[str]
    contested: list[int]
    notes: list[NoteTold]


class MasksTold(Told):
    """The run's masks of an object."""

    given: RleTold | None
    answer: RleTold | None
    best: RleTold | None


class DidTold(Told):
    """An event; of a stroke or polygon ``did`` tells how many ``points`` it has."""

    number: int
    kind: str
    by: str | None
    when: str | None
    did: dict[str, Any]


class ObjectTold(Told):
    """One object. ``assigned``: whose share it is, "" for anybody's; ``also``: who else is to look. ``mask`` is the one
    that holds; ``problem`` says why there is none: the picture cannot be read.
    """

    index: int
    object_id: str
    image: str
    image_name: str
    width: int
    height: int
    problem: str
    text: str
    category: str | None
    outcome: str
    likely_error: str
    evidence: str
    predicted_iou_given: float | None
    expected_iou_given: float | None
    predicted_iou: float | None
    expected_iou: float | None
    num_clicks: int | None
    doubts: list[str]
    reason: str
    verdict: Verdict | None
    removed: bool
    added: bool
    touched: bool
    by: str | None
    contested: bool
    assigned: str
    also: list[str]
    masks: MasksTold
    mask: RleTold | None
    clicks: list[list[Any]]
    standing: StandingTold
    history: list[DidTold]


class DoneTold(Told):
    """What came of an event; ``index`` is the object's, also of one just added."""

    number: int
    index: int
    standing: StandingTold
    mask: RleTold | None
    contested: bool
    milliseconds: float


class SuggestionTold(Told):
    """What the policy would do next: ``{"x", "y", "positive"}``, "finish", or None where it says nothing of use."""

    action: dict[str, Any] | Literal["finish"] | None
    predicted_iou: float | None


class OnImageTold(Told):
    """An object of an image; ``rle`` None: it has no mask."""

    index: int
    rle: RleTold | None
    label: str
    removed: bool


class WarningTold(Told):
    """What looks odd about objects of one image, in words."""

    kind: str
    indices: list[int]
    words: str


class ImageTold(Told):
    """An image with all its objects."""

    key: str
    name: str
    width: int
    height: int
    objects: list[OnImageTold]
    warnings: list[WarningTold]


class EventTold(Told):
    """An event that somebody made."""

    number: int
    index: int
    kind: str
    by: str | None


class EventsTold(Told):
    """Events since a number; ``number`` is the last one's."""

    number: int
    events: list[EventTold]
