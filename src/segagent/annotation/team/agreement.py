"""How far people agree on a run's objects: their masks, and what they say of the run's, each by their own last word.

What is compared is independent: of a person's events on an object only those count before which they had seen nothing
that another did there. What they say of the run's mask is one of four words: "ok"; "wrong", also where they changed it;
"absent", also where they removed the object; "unsure".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from segagent.annotation.batch.folder import Run
from segagent.annotation.people import Event, read_events, stand
from segagent.core import InputError, Rle, decode_rle
from segagent.evaluation.bootstrap import Interval, bootstrap_ratio, bootstrap_statistic

WORDS = ("ok", "wrong", "absent", "unsure")
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JudgedTwice:
    """One object that two people gave their word on. ``iou`` of their masks, in [0, 1], an absent object's being empty;
    None where one gave no mask or both say that it is absent.
    """

    object_id: str
    image: str
    people: tuple[str, str]
    words: tuple[str, str]
    iou: float | None

    @property
    def differs(self) -> float:
        """How far apart they are, from 0 to 1: by the masks, or the words where there are no two masks."""
        return float(self.words[0] != self.words[1]) if self.iou is None else 1 - self.iou

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        told = {"object_id": self.object_id, "image": self.image, "people": list(self.people)}
        return {**told, "words": list(self.words), "iou": None if self.iou is None else round(self.iou, 4)}


@dataclass(frozen=True, slots=True)
class Figures:
    """``num`` objects compared: the share of ``same`` words, how far that is beyond chance (``kappa``: Cohen's of two
    people, Krippendorff's alpha of more; nan where everyone says the same of everything), and the mean ``iou`` of
    ``num_masks`` masks, None for none. Intervals (95 %) are by image;
    of a single image there is none, and their bounds are nan.
    """

    num: int
    same: Interval
    kappa: Interval
    num_masks: int
    iou: Interval | None

    def to_dict(self, name: str = "kappa") -> dict[str, Any]:
        """JSON form."""
        told = {"objects": self.num, "same": _told(self.same), name: _told(self.kappa), "masks": self.num_masks}
        return {**told, "iou": None if self.iou is None else _told(self.iou)}


@dataclass(frozen=True, slots=True)
class Agreement:
    """``pairs``: figures of every two people that share objects; ``all``: of everyone, None where only two people do.

    ``compared``: every object by every pair, those furthest apart first. ``num_words``: how many objects each person
    gave their word on. ``num_after``: how many words were given after seeing another's work. They do not count unless
    ``after_seeing``, which was asked for, or there are no others.
    """

    pairs: dict[tuple[str, str], Figures]
    all: Figures | None
    compared: list[JudgedTwice]
    num_words: dict[str, int]
    num_after: int
    after_seeing: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON form; of ``compared`` those that differ."""
        return {
            "people": self.num_words,
            "words_after_seeing": self.num_after,
            "after_seeing": self.after_seeing,
            "pairs": [{"people": list(pair), **figures.to_dict()} for pair, figures in self.pairs.items()],
            "all": None if self.all is None else self.all.to_dict("alpha"),
            "disagreements": [one.to_dict() for one in self.compared if one.differs],
        }


@dataclass(frozen=True, slots=True)
class _Own:
    """A person's own word on an object, and the mask that goes with it, None where there is none."""

    word: str
    mask: Rle | None


@dataclass
class _Object:
    image: str
    events: dict[str, list[Event]] = field(default_factory=dict)
    answer: Rle | None = None


def agreement_of(run: Run, *, after_seeing: bool = False, seed: int = 0) -> Agreement:
    """How far the people who worked on ``run`` agree.

    ``after_seeing``: words given after another's work was seen count too, which is done anyway where no object has two
    people's words otherwise. Such a word is about the object as it stood then. ``seed`` drives the intervals.

    Raises ``InputError`` where no object has two people's words.
    """
    objects = _objects(run)
    own: dict[str, dict[str, _Own]] = {}
    num_words: defaultdict[str, int] = defaultdict(int)
    num_after = 0
    for object_id, one in objects.items():
        words: dict[str, _Own] = {}
        for person, events in one.events.items():
            word = _own_word([event for event in events if not _had_seen_others(event, person, one)], one.answer)
            after = _own_word(_until_last_of(events, one), one.answer)
            num_after += word is None and after is not None
            word = after if after_seeing else word
            if word is not None:
                words[person] = word
                num_words[person] += 1
        own[object_id] = words
    compared = [
        _compared(object_id, objects[object_id].image, pair, words)
        for object_id, words in own.items()
        for pair in combinations(sorted(words), 2)
    ]
    if not compared and num_after and not after_seeing:
        return agreement_of(run, after_seeing=True, seed=seed)
    if not compared:
        raise InputError(
            f"{run.folder}: no object has the words of two people; deal some out to two: segagent split --overlap"
        )
    by_pair: defaultdict[tuple[str, str], list[JudgedTwice]] = defaultdict(list)
    for both in compared:
        by_pair[both.people].append(both)
    shared = {object_id: words for object_id, words in own.items() if len(words) > 1}
    images = {object_id: objects[object_id].image for object_id in shared}
    many = len({person for words in shared.values() for person in words}) > 2
    return Agreement(
        {pair: _pair_figures(ones, seed) for pair, ones in sorted(by_pair.items())},
        _all_figures(shared, images, compared, seed) if many else None,
        sorted(compared, key=lambda one: -one.differs),
        dict(sorted(num_words.items())),
        num_after,
        after_seeing,
    )


def _objects(run: Run) -> dict[str, _Object]:
    """The objects that somebody has done something to, with everyone's own events."""
    found: dict[str, _Object] = {}
    for event in read_events(run):
        if event.by is not None and run.takes(event.object_id):
            one = found.setdefault(event.object_id, _Object(event.image))
            one.events.setdefault(event.by, []).append(event)
    for record in run.objects():
        if record.object_id not in found:
            continue
        found[record.object_id].image = record.image
        if record.outcome != "not_found":
            found[record.object_id].answer = record.trajectory.rle_at(record.trajectory.returned)
    return found


def _had_seen_others(event: Event, person: str, one: _Object) -> bool:
    """Whether the person had seen another's work on the object; passing it over shows nothing."""
    return any(
        other.number <= (event.seen or 0) and other.verdict != "skip"
        for name, events in one.events.items()
        if name != person
        for other in events
    )


def _until_last_of(own: Sequence[Event], one: _Object) -> list[Event]:
    """Everyone's events on an object up to the last of a person's ``own`` that says something."""
    last = max((event.number for event in own if event.kind != "note" and event.verdict != "skip"), default=0)
    everyone = [event for events in one.events.values() for event in events if event.number <= last]
    return sorted(everyone, key=lambda event: event.number)


def _own_word(events: Sequence[Event], answer: Rle | None) -> _Own | None:
    """What events on one object say; None where they say nothing."""
    if not events:
        return None
    now = next(iter(stand(events).values())).now
    if now.removed or now.verdict == "absent":
        return _Own("absent", None)
    if now.mask is not None:
        return _Own("unsure" if now.verdict == "unsure" else _word_of_mask(now.mask, answer), now.mask)
    match now.verdict:
        case "ok":
            return _Own("ok", answer)
        case "wrong" | "unsure":
            return _Own(now.verdict, None)
        case _:
            return None


def _word_of_mask(mask: Rle, answer: Rle | None) -> str:
    return "ok" if answer is not None and mask == answer else "wrong"


def _compared(object_id: str, image: str, pair: tuple[str, str], words: dict[str, _Own]) -> JudgedTwice:
    first, second = words[pair[0]], words[pair[1]]
    return JudgedTwice(object_id, image, pair, (first.word, second.word), _iou(first, second, object_id))


def _iou(first: _Own, second: _Own, object_id: str) -> float | None:
    if "absent" in (first.word, second.word):
        return 0.0 if first.mask is not None or second.mask is not None else None
    if first.mask is None or second.mask is None:
        return None
    one, other = decode_rle(first.mask), decode_rle(second.mask)
    if one.shape != other.shape:
        raise InputError(f"object {object_id!r:.80}: has masks of different sizes in people's record")
    union = np.count_nonzero(one | other)
    return float(np.count_nonzero(one & other) / union) if union else None


def _pair_figures(ones: Sequence[JudgedTwice], seed: int) -> Figures:
    codes = np.array([[WORDS.index(word) for word in one.words] for one in ones], np.int64)
    groups = [one.image for one in ones]
    kappa = bootstrap_statistic(lambda rows: cohens_kappa(codes[rows, 0], codes[rows, 1]), groups, seed=seed)
    return Figures(len(ones), _same(ones, seed), _of_several(kappa, groups), *_masks(ones, seed))


def _all_figures(
    shared: dict[str, dict[str, _Own]], images: dict[str, str], compared: Sequence[JudgedTwice], seed: int
) -> Figures:
    counts = np.zeros((len(shared), len(WORDS)), np.int64)
    for row, words in enumerate(shared.values()):
        for one in words.values():
            counts[row, WORDS.index(one.word)] += 1
    groups = [images[object_id] for object_id in shared]
    alpha = bootstrap_statistic(lambda rows: krippendorffs_alpha(counts[rows]), groups, seed=seed)
    return Figures(len(shared), _same(compared, seed), _of_several(alpha, groups), *_masks(compared, seed))


def _same(ones: Sequence[JudgedTwice], seed: int) -> Interval:
    groups = [one.image for one in ones]
    same = [float(one.words[0] == one.words[1]) for one in ones]
    return _of_several(bootstrap_ratio(same, groups=groups, seed=seed), groups)


def _of_several(interval: Interval, groups: Sequence[Hashable]) -> Interval:
    """An interval, without bounds where there is a single image: how images differ is not known then."""
    return interval if len(set(groups)) > 1 else Interval(interval.value, math.nan, math.nan)


def _masks(ones: Sequence[JudgedTwice], seed: int) -> tuple[int, Interval | None]:
    found = list(_ious(ones))
    if not found:
        return 0, None
    groups = [image for _, image in found]
    return len(found), _of_several(bootstrap_ratio([iou for iou, _ in found], groups=groups, seed=seed), groups)


def _ious(ones: Sequence[JudgedTwice]) -> Iterator[tuple[float, Hashable]]:
    return ((one.iou, one.image) for one in ones if one.iou is not None)


def cohens_kappa(first: Codes, second: Codes) -> float:
    """Agreement of two people on the same objects beyond chance, 1 at most; nan where chance alone gives all of it.

    ``first`` and ``second``: whole numbers from 0, one for each object.
    """
    size = int(max(first.max(initial=0), second.max(initial=0))) + 1
    table = np.bincount(first * size + second, minlength=size * size).reshape(size, size) / max(len(first), 1)
    chance = float(table.sum(axis=0) @ table.sum(axis=1))
    return math.nan if not len(first) or math.isclose(chance, 1) else (float(np.trace(table)) - chance) / (1 - chance)


def krippendorffs_alpha(counts: Codes) -> float:
    """Agreement of any number of people beyond chance, for words without order; objects need not have all people.

    ``counts``: (objects, words), how many people say each; objects with fewer than two do not count. nan where all say
    the same of everything.
    """
    told = counts[counts.sum(axis=1) > 1].astype(np.float64)
    each = told.sum(axis=1)
    total, by_word = each.sum(), told.sum(axis=0)
    expected = total**2 - float(by_word @ by_word)
    if not total or expected == 0:
        return math.nan
    observed = float(((each**2 - (told**2).sum(axis=1)) / (each - 1)).sum())
    return float(1 - observed * (total - 1) / expected)


def _told(interval: Interval) -> dict[str, float | None]:
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in interval.to_dict().items()}
