"""What a run has to say, ready to be written in any format: masks image by image, and all that has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from segagent.annotation.batch.folder import Run
from segagent.annotation.interop.provenance import left_provenance
from segagent.annotation.people import GONE, LeftObject, objects_left, standings_of
from segagent.core import BoolMask, Rle, decode_rle
from segagent.core.rle import rle_areas
from segagent.datasets import BrokenSample, Dataset


@dataclass(frozen=True, slots=True)
class Answer:
    """One object with its mask, as people left it.

    ``outcome``: the run's where nobody has changed the mask, else "corrected", "taken" or "added". ``final``: whether
    the mask may take another's place; not where it is not accepted, or a person says that it is wrong.
    ``label_is_new``, ``text_is_new``: whether a person has given the object another class, another sentence.
    """

    object_id: str
    image: str
    text: str
    category: str | None
    outcome: str
    rle: Rle
    accepted: bool | None
    facts: dict[str, Any]
    final: bool = True
    label_is_new: bool = False
    text_is_new: bool = False

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
    """An object without a mask that could be written.

    ``reason``: "not_found", "empty", one of :data:`segagent.annotation.people.GONE`, or why it failed. ``label``: its
    class, or the sentence where there is none; ``label_is_new`` and ``text_is_new`` as for :class:`Answer`.
    """

    object_id: str
    image: str
    reason: str
    text: str = ""
    size: tuple[int, int] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    label_is_new: bool = False
    text_is_new: bool = False

    @property
    def gone(self) -> bool:
        """Whether people have removed it."""
        return self.reason in GONE


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

    ``removed``: objects that people have removed. ``more``: what only some formats tell.
    """

    written: Counter[str] = field(default_factory=Counter)
    num_accepted: int = 0
    num_not_accepted: int = 0
    without: list[Without] = field(default_factory=list)
    removed: list[Without] = field(default_factory=list)
    num_images_left: int = 0
    more: dict[str, Any] = field(default_factory=dict)


class Answers:
    """The objects of a run as people left them, those ``accepted`` marked, read as often as is wanted.

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
        # Once, so that all passes see the same, whatever people do meanwhile.
        self._standings = standings_of(run)
        self._number = max((one.number for one in self._standings.values()), default=0)

    def survey(self) -> Report:
        """Look through the run once: labels, what is counted, where each image's last object is."""
        report = Report()
        used: dict[str, None] = {}
        for place, entry in enumerate(self.every()):
            self._last[entry.image] = place
            if isinstance(entry, Without):
                told = Without(entry.object_id, entry.image, entry.reason, entry.text)
                (report.removed if entry.gone else report.without).append(told)
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
        """The last word on each object, in the run's order and then what people have added, nothing left out."""
        for one in self.left():
            entry = self._entry(one)
            if entry is not None:
                yield entry

    def left(self) -> Iterator[LeftObject]:
        """All objects, as :func:`segagent.annotation.people.objects_left` tells of them."""
        return objects_left(self.run, self._dataset, self._standings)

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
                if not self.only_accepted and not entry.gone:
                    image.without.append(entry)
                image.size = image.size or entry.size
            if self._last[entry.image] == place:
                yield waiting.pop(entry.image)

    def _left_out(self, answer: Answer) -> bool:
        return self.only_accepted and not answer.accepted

    def _entry(self, one: LeftObject) -> Answer | Without | None:
        """None for what there is nothing to tell of: it was added and removed again, or nobody has come to it."""
        stands, record = one.stands, one.record
        if one.added and (stands in GONE or one.rle is None or not rle_areas([one.rle])[0]):
            return None
        if record is None and one.failure is None and not stands and not (one.relabelled or one.rephrased):
            return None
        accepted = None if self.accepted is None else one.object_id in self.accepted
        new = (one.relabelled, one.rephrased)
        label = one.category or one.text
        rle, outcome = one.rle, str(stands) if one.changed or one.added else "" if record is None else record.outcome
        best_try = False
        if record is not None and self.best_tries and record.outcome == "not_found" and rle is None:
            tried = record.trajectory.rle_at(record.trajectory.returned)
            best_try = bool(rle_areas([tried])[0]) and stands not in GONE
            rle = tried if best_try else None
        facts = left_provenance(self.run, one, accepted, best_try=best_try)
        if facts and self._number:
            facts["event"] = self._number
        if stands in GONE or rle is None or not rle_areas([rle])[0]:
            reason = stands if stands in GONE else _why_without(one)
            return Without(one.object_id, one.image, reason, one.text, one.size, facts, label, *new)
        final = accepted is not False and stands != "wrong"
        return Answer(one.object_id, one.image, one.text, one.category, outcome, rle, accepted, facts, final, *new)


def _why_without(one: LeftObject) -> str:
    """Why an object has no mask that people have not taken away."""
    if one.record is None:
        return "the run has not come to it" if one.failure is None else one.failure.reason
    return "not_found" if one.record.outcome == "not_found" else "empty"


def numbered_labels(dataset: Dataset, used: Iterable[str]) -> dict[str, int]:
    """Every label with its number, from 0: the categories that the source lists, in its order, then all others.

    So all exports of all runs over one data set, and over files that share their list of categories, number labels
    alike. The others are those of the data set's samples (the category, or the sentence where there is none), in its
    order; it is gone through only where the source lists no categories, or not all that are ``used``.
    """
    listed: Sequence[str] = getattr(dataset, "categories", ())
    labels = dict.fromkeys(listed)
    wanted = dict.fromkeys(used)
    if not listed or not wanted.keys() <= labels.keys():
        samples = (sample for sample in dataset if not isinstance(sample, BrokenSample))
        labels |= dict.fromkeys(sample.category or sample.text for sample in samples)
    return {label: number for number, label in enumerate(labels | wanted)}
