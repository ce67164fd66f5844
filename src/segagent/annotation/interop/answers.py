"""What a run has to say, ready to be written in any format: masks image by image, and all that has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.interop.labels import numbered_labels
from segagent.annotation.interop.provenance import provenance_of
from segagent.core import BoolMask, Rle, decode_rle
from segagent.core.failures import Failure
from segagent.core.rle import rle_areas
from segagent.datasets import Dataset


@dataclass(frozen=True, slots=True)
class Answer:
    """One object with its mask. ``given``: the mask that a repaired one should take the place of."""

    object_id: str
    image: str
    text: str
    category: str | None
    outcome: str
    rle: Rle
    given: Rle | None
    accepted: bool | None
    facts: dict[str, Any]

    @property
    def mask(self) -> BoolMask:
        """Bool (height, width)."""
        return decode_rle(self.rle)

    @property
    def label(self) -> str:
        """The category, or the sentence where there is none."""
        return self.category or self.text

    @property
    def score(self) -> float | None:
        """The IoU to be expected, in [0, 1]."""
        value: float | None = self.facts.get("calibrated_iou", self.facts.get("predicted_iou"))
        return value


@dataclass(frozen=True, slots=True)
class Without:
    """An object without a mask that could be written. ``reason``: "not_found", "empty" or why it failed."""

    object_id: str
    image: str
    reason: str
    text: str = ""
    size: tuple[int, int] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class ImageAnswers:
    """All that is known of one image; ``size`` is (height, width), None where only failures tell of it."""

    image: str
    size: tuple[int, int] | None = None
    answers: list[Answer] = field(default_factory=list)
    without: list[Without] = field(default_factory=list)


@dataclass
class Report:
    """What an export did: masks ``written`` by outcome, objects ``without`` one, images the run has not come to.

    ``more``: what only some formats tell.
    """

    written: Counter[str] = field(default_factory=Counter)
    num_accepted: int = 0
    num_not_accepted: int = 0
    without: list[Without] = field(default_factory=list)
    num_images_left: int = 0
    more: dict[str, Any] = field(default_factory=dict)


class Answers:
    """The objects of a run, those ``accepted`` marked, read as often as is wanted.

    ``dataset``: what the run was made of. ``accepted`` None: nobody asked. With ``only_accepted`` the others are left
    out, and counted in ``report``. With ``best_tries`` an object that was not found is told with the mask that came
    nearest, where there is one.
    """

    def __init__(
        self,
        run: Run,
        dataset: Dataset,
        accepted: frozenset[str] | None = None,
        *,
        only_accepted: bool = False,
        best_tries: bool = False,
    ) -> None:
        self.run = run
        self.accepted = accepted
        self._dataset = dataset
        self.only_accepted = only_accepted and accepted is not None
        self.best_tries = best_tries
        self.labels: dict[str, int] = {}
        """Every label with its number, in the source's order; there once :meth:`survey` was called."""
        self.images: dict[str, bool] = {}
        """Every image of known size, and whether a mask of it is written; there once :meth:`survey` was called."""
        self._last: dict[str, int] = {}

    def survey(self) -> Report:
        """Look through the run once: labels, what is counted, where each image's last object is."""
        report = Report()
        used: dict[str, None] = {}
        for place, entry in enumerate(self.every()):
            self._last[entry.image] = place
            if isinstance(entry, Without):
                report.without.append(Without(entry.object_id, entry.image, entry.reason, entry.text))
                if entry.size is not None:
                    self.images.setdefault(entry.image, False)
                continue
            if entry.accepted is not None:
                report.num_accepted += entry.accepted
                report.num_not_accepted += not entry.accepted
            self.images.setdefault(entry.image, False)
            if not self._left_out(entry):
                report.written[entry.outcome] += 1
                self.images[entry.image] = True
                used[entry.label] = None
        self.labels = numbered_labels(self._dataset, used)
        report.num_images_left = self.run.num_images_left()
        return report

    def __iter__(self) -> Iterator[Answer]:
        """The objects that have a mask and are not left out, in the run's order."""
        return (entry for entry in self.every() if isinstance(entry, Answer) and not self._left_out(entry))

    def every(self) -> Iterator[Answer | Without]:
        """The last word on each object, in the run's order, nothing left out."""
        for record in self.run.records():
            if isinstance(record, Failure):
                yield Without(record.sample_id, record.image, record.reason)
            else:
                yield self._answer(record)

    def by_image(self) -> Iterator[ImageAnswers]:
        """Image by image. In memory are one image's objects, and images with objects that were retried later."""
        if not self._last:
            self.survey()
        waiting: dict[str, ImageAnswers] = {}
        for place, entry in enumerate(self.every()):
            image = waiting.setdefault(entry.image, ImageAnswers(entry.image))
            if isinstance(entry, Answer):
                image.size = (entry.rle["size"][0], entry.rle["size"][1])
                if not self._left_out(entry):
                    image.answers.append(entry)
            else:
                if not self.only_accepted:
                    image.without.append(entry)
                image.size = image.size or entry.size
            if self._last[entry.image] == place:
                yield waiting.pop(entry.image)

    def _left_out(self, answer: Answer) -> bool:
        return self.only_accepted and not answer.accepted

    def _answer(self, record: ObjectRecord) -> Answer | Without:
        accepted = None if self.accepted is None else record.object_id in self.accepted
        trajectory = record.trajectory
        rle = trajectory.rle_at(trajectory.returned)
        empty = not rle_areas([rle])[0]
        best_try = self.best_tries and record.outcome == "not_found" and not empty
        facts = provenance_of(self.run, record, accepted, best_try=best_try)
        if empty or (record.outcome == "not_found" and not best_try):
            reason = "not_found" if record.outcome == "not_found" else "empty"
            size = (trajectory.height, trajectory.width)
            return Without(record.object_id, record.image, reason, record.text, size, facts)
        given = trajectory.start.mask if record.outcome == "repaired" else None
        return Answer(
            record.object_id, record.image, record.text, record.category, record.outcome, rle, given, accepted, facts
        )
