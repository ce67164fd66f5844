"""A run in people's hands: what is served, and how what they do gets into its record. Knows nothing of HTTP."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from operator import itemgetter
from typing import Any

from segagent.annotation.batch import Run
from segagent.annotation.people import Event, Standing
from segagent.annotation.review import data_of
from segagent.annotation.review.entries import WorkItem
from segagent.core import (
    BoolMask,
    Policy,
    Rle,
    SegAgentError,
    SegmentationTool,
    decode_rle,
    empty_mask,
    encode_rle,
)
from segagent.core.extensions import from_record
from segagent.core.texts import read_file
from segagent.datasets import CocoDataset
from segagent.datasets.coco import parsed_coco
from segagent.datasets.coco_masks import is_numbers
from segagent.server.review.catalogue import Catalogue, Masks
from segagent.server.review.hands import Hands
from segagent.server.review.objects import Served
from segagent.server.review.pictures import Pictures
from segagent.server.review.writing import GroupWriter

ADDED = "added"
"""What stands in place of an outcome for objects that people added."""


class NotHereError(SegAgentError):
    """What is asked for is not among what is served."""


@dataclass(frozen=True)
class Plan:
    """How a run is served.

    Args:
        by: whoever uses the page, where the server was told; None: each browser says it.
        tool: specification of the tool; None for the run's own. ``policy``: of the policy.
        guidelines: the project's labelling rules, for people and for a policy that reads them.
        sample: object ids of a sample to check, in the order to check them; None: all objects, to review.
        drawn: how the sample was drawn, for the record.
        shares: who is to look at an object, by id, first whose share it belongs to; anybody where it is not in it.
        people: those who were given shares.
        data: where the pictures are; None: where the run's data set is.
    """

    by: str | None = None
    tool: str | None = None
    policy: str | None = None
    guidelines: str | None = None
    sample: Sequence[str] | None = None
    drawn: dict[str, Any] = field(default_factory=dict)
    shares: Mapping[str, Sequence[str]] = field(default_factory=dict)
    people: Sequence[str] = ()
    data: str | None = None


class ReviewSession:
    """See the module. Its methods may be called by any thread."""

    def __init__(self, run: Run, plan: Plan = Plan()) -> None:
        """Read the run and open its record. Raises ``InputError``; nothing else may be writing the record."""
        self.run, self.plan = run, plan
        dataset = self._dataset = data_of(run, plan.data)
        self.catalogue = Catalogue(run, dataset)
        names = dict.fromkeys(entry.image for entry in self.catalogue.entries)
        self.pictures = Pictures(dataset, names, self.catalogue.sizes)
        self.hands = Hands(partial(_make_tool, run, plan.tool), partial(_make_policy, run, plan), self.pictures.load)
        self._adding: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()
        self._objects: list[Served] = []
        self._by_id: dict[str, Served] = {}
        self._on_image: defaultdict[str, list[Served]] = defaultdict(list)
        self._number = 0
        self._events: list[tuple[int, int, str, str | None]] = []
        self._requests: dict[str, tuple[int, int]] = {}
        for entry in self.catalogue.entries:
            self._serve(entry)
        self.listed = self.catalogue.order if plan.sample is None else [self._by_id[name].index for name in plan.sample]
        self._writer: GroupWriter | None = None
        self._writer = GroupWriter(run, self._take)

    def close(self) -> None:
        """Let others write the record."""
        assert self._writer is not None
        self._writer.close()

    @property
    def number(self) -> int:
        """The number of the record's last event."""
        with self._lock:
            return self._number

    def object(self, index: int) -> Served:
        """The object of that index. Raises ``NotHereError``."""
        with self._lock:
            if not 0 <= index < len(self._objects):
                raise NotHereError(f"no object {index}; there are {len(self._objects)}")
            return self._objects[index]

    def objects(self) -> list[Served]:
        """All objects, those that people added last."""
        with self._lock:
            return list(self._objects)

    def shown(self) -> list[Served]:
        """The objects to work through, in order; in a review those that people added come last."""
        with self._lock:
            added = self._objects[len(self.catalogue.entries) :] if self.plan.sample is None else []
            return [*(self._objects[index] for index in self.listed), *added]

    def image(self, key: str) -> str:
        """The name of the image of that key. Raises ``NotHereError``."""
        name = self.pictures.names.get(key)
        if name is None:
            raise NotHereError("no image of that key")
        return name

    def on_image(self, name: str) -> list[Served]:
        """The objects of an image."""
        with self._lock:
            return list(self._on_image[name])

    def size(self, image: str) -> tuple[int, int]:
        """Height and width of an image. Raises ``InputError`` where only its picture could tell and cannot be read."""
        found = self.catalogue.sizes.get(image)
        if found is None:
            picture = self.pictures.load(image)
            found = self.catalogue.sizes[image] = (picture.height, picture.width)
        return found

    def run_masks(self, served: Served) -> Masks:
        """The masks that the run has of an object."""
        return self.catalogue.masks(served.index) if served.index < len(self.catalogue.entries) else Masks()

    def rle(self, served: Served, standing: Standing | None = None) -> Rle:
        """The object's mask as it stands: people's, else the run's answer, else an empty one.

        Raises ``InputError`` where nothing tells how large an empty one is.
        """
        mask = (standing or served.standing).now.mask or self.run_masks(served).answer
        return encode_rle(self.empty(served.image)) if mask is None else mask

    def mask(self, served: Served) -> BoolMask:
        """The same, bool (height, width)."""
        return decode_rle(self.rle(served))

    def empty(self, image: str) -> BoolMask:
        """The empty mask of an image's size."""
        return empty_mask(*self.size(image))

    def base(self, served: Served, began: Rle | None) -> BoolMask:
        """The mask that clicks began at."""
        rle = began or self.run_masks(served).answer
        return self.empty(served.image) if rle is None else decode_rle(rle)

    @cached_property
    def boxes(self) -> dict[str, Sequence[float]]:
        """The boxes that a COCO file lists beside its masks, by object id: x, y, width, height in pixels."""
        if type(self._dataset) is not CocoDataset:
            return {}
        path = self._dataset.path
        listed = parsed_coco(read_file(path), path)["annotations"]
        boxes = ((str(one["id"]), one.get("bbox")) for one in listed)
        return {object_id: box for object_id, box in boxes if is_numbers(box) and len(box) == 4}

    def since(self, number: int) -> tuple[int, list[tuple[int, int, str, str | None]]]:
        """The number of the last event, and (number, index, kind, by) of those after ``number``."""
        with self._lock:
            return self._number, self._events[bisect_right(self._events, number, key=itemgetter(0)) :]

    def people(self) -> list[str]:
        """Everyone who has a share or did something."""
        with self._lock:
            return list(dict.fromkeys([*self.plan.people, *(by for *_, by in self._events if by is not None)]))

    def done(self, request: str) -> tuple[Served, int] | None:
        """The object and the number of the last event that was asked for under that name, or None."""
        with self._lock:
            found = self._requests.get(request)
            return None if found is None else (self._objects[found[0]], found[1])

    def adding(self, image: str) -> threading.Lock:
        """Is held by whoever adds an object to an image."""
        with self._lock:
            return self._adding[image]

    def append(self, events: Sequence[Event]) -> list[Event]:
        """Write events, see :meth:`GroupWriter.append`."""
        assert self._writer is not None
        return self._writer.append(events)

    def _take(self, events: Sequence[Event]) -> None:
        with self._lock:
            for event in events:
                if event.number <= self._number:
                    continue  # Known from before the record was opened anew.
                self._number = event.number
                served = self._by_id.get(event.object_id)
                if served is None and event.kind == "added" and self._is_meant(event.object_id):
                    served = self._serve(WorkItem(len(self._objects), event.object_id, event.image, ADDED))
                if served is None:
                    continue  # Of an object that is not among those that are served.
                served.take(event)
                self._events.append((event.number, served.index, event.kind, event.by))
                if event.request is not None:
                    self._requests[event.request] = (served.index, event.number)

    def _is_meant(self, object_id: str) -> bool:
        """Whether an object that people added is served: of earlier ones those that the run was narrowed to."""
        chosen = self.run.chosen
        return chosen is None or object_id in chosen or self._writer is not None

    def _serve(self, entry: WorkItem) -> Served:
        served = Served(entry.index, entry.object_id, entry.image, entry)
        self._objects.append(served)
        self._by_id[entry.object_id] = served
        self._on_image[entry.image].append(served)
        return served


def _make_tool(run: Run, spec: str | None) -> SegmentationTool:
    from segagent.tools import make_tool

    return make_tool(spec or _own(run, "tool"))


def _make_policy(run: Run, plan: Plan) -> Policy:
    from segagent.policies import make_policy, reads_guidelines, with_guidelines, with_known_format

    made = with_known_format(make_policy(plan.policy or _own(run, "policy")))
    # People see the rules whether or not the policy can read them.
    return with_guidelines(made, plan.guidelines) if plan.guidelines and reads_guidelines(made) else made


def _own(run: Run, which: str) -> str:
    """The specification of the run's own tool or policy. Raises ``SpecError`` where a file must not name it."""
    return from_record(str(run.notes.get(which, run.config.get(which, "embedded"))), run.folder)
