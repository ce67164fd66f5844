"""Objects as they are served: what the run says of each, and what people have made of it since."""

from __future__ import annotations

import threading
from copy import copy
from dataclasses import dataclass, field, fields

from segagent.annotation.people import Event, Standing
from segagent.annotation.review.entries import WorkItem
from segagent.core import Box, Click, Prompt, Rle, empty_mask, encode_rle


@dataclass(eq=False)
class Served:
    """An object. ``events``: all that people did to it, in order. ``turn`` is held by whoever is about to add one."""

    index: int
    object_id: str
    image: str
    entry: WorkItem
    standing: Standing = field(init=False)
    events: list[Event] = field(default_factory=list)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Nothing has been done yet."""
        self.standing = Standing(self.object_id, self.image)

    def take(self, event: Event) -> None:
        """Take one more event into account."""
        # A new value, so that whoever reads the one before, in another thread, sees no half of a change.
        standing = copy(self.standing)
        for one in fields(standing):
            if isinstance(value := getattr(standing, one.name), list | dict):
                setattr(standing, one.name, copy(value))
        standing.apply(event)
        self.events.append(event)
        self.standing = standing

    @property
    def label(self) -> str | None:
        """The class as it is now."""
        return self.entry.category if self.standing.now.label is None else self.standing.now.label

    @property
    def text(self) -> str:
        """The sentence as it is now."""
        return self.entry.text if self.standing.now.text is None else self.standing.now.text

    def event(self, number: int) -> Event:
        """The event of that number."""
        return next(event for event in reversed(self.events) if event.number == number)

    def at(self, number: int) -> Standing:
        """How the object stood after the event of that number."""
        standing = Standing(self.object_id, self.image)
        for event in self.events:
            if event.number <= number:
                standing.apply(event)
        return standing


@dataclass(frozen=True)
class Chain:
    """Clicks that follow each other with nothing drawn between, and the mask that they began at; None: the run's."""

    began: Rle | None
    prompts: tuple[Prompt, ...]


def chain_of(served: Served, tool: str) -> Chain:
    """What ``tool`` has been told up to the object's present mask."""
    standing = served.standing
    prompts: list[Prompt] = []
    drawn: Event | None = None
    for moment in reversed(standing.moments[1 : standing.place + 1]):
        if moment.drawn is None:
            break
        if moment.drawn is drawn:
            continue  # Something else was done here, not to the mask.
        drawn = moment.drawn
        assert drawn.mask is not None
        prompt = prompt_of(drawn)
        if prompt is None or drawn.tool != tool:
            return Chain(drawn.mask, tuple(prompts))
        prompts.insert(0, prompt)
        if isinstance(prompt, Box):
            return Chain(encode_rle(empty_mask(*drawn.mask["size"])), tuple(prompts))
    return Chain(None, tuple(prompts))


def prompt_of(event: Event) -> Prompt | None:
    """The click or box of an event, None for others."""
    if event.kind == "click":
        return Click(event.did["x"], event.did["y"], event.did["positive"])
    if event.kind == "box":
        x0, y0, x1, y1 = event.did["box"]
        return Box(x0, y0, x1 + 1, y1 + 1)
    return None
