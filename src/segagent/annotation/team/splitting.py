"""A run's objects dealt out to several people: as many each, as hard, image by image, and some to two of them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from segagent.annotation.batch.folder import Run
from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.core.texts import read_json

ASSIGNMENTS_SCHEMA = "segagent.assignments/1"
ASSIGNMENTS_FILE = "assignments.json"

_STRATA = 4
_MAX_PEOPLE = 1000


@dataclass(frozen=True, slots=True)
class Assignments:
    """Who looks at what. ``objects``: the people of each object, by id, in the run's order; the first of them is
    the one whose share it belongs to, a second one looks at it too, so that they can be compared.
    """

    people: tuple[str, ...]
    objects: Mapping[str, tuple[str, ...]]
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "schema": ASSIGNMENTS_SCHEMA,
            "people": list(self.people),
            "seed": self.seed,
            "objects": {name: list(people) for name, people in self.objects.items()},
        }

    def content(self) -> bytes:
        """The file, one object a line."""
        told = self.to_dict()
        objects = told.pop("objects")
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(people)}" for name, people in objects.items())
        head = json.dumps(told, indent=1)[:-2]
        return f'{head},\n "objects": {{\n{lines}\n }}\n}}\n'.encode("ascii")

    def share(self, person: str) -> list[str]:
        """The ids of the objects that a person looks at."""
        return [name for name, people in self.objects.items() if person in people]

    @property
    def num_shared(self) -> int:
        """How many objects two people look at."""
        return sum(len(people) > 1 for people in self.objects.values())


def read_assignments(path: str | Path) -> Assignments:
    """The file that ``segagent split`` wrote. Raises ``InputError`` naming what does not fit."""
    name = Path(path)
    data = read_json(name, "expected the assignments.json that segagent split writes")
    if not isinstance(data, dict) or data.get("schema") != ASSIGNMENTS_SCHEMA:
        raise InputError(f"{name}: expected the schema {ASSIGNMENTS_SCHEMA!r}, as segagent split writes it")
    people, objects, seed = data.get("people"), data.get("objects"), data.get("seed", 0)
    if not _are_names(people) or not isinstance(objects, dict) or not isinstance(seed, int):
        raise InputError(f"{name}: expected 'people', a list of names, and 'objects', who looks at each")
    for object_id, given in objects.items():
        if not _are_names(given) or not set(given) <= set(people):
            raise InputError(f"{name}: object {object_id!r:.80} must have some of 'people', has {given!r:.120}")
    return Assignments(tuple(people), {object_id: tuple(given) for object_id, given in objects.items()}, seed)


def _are_names(value: Any) -> TypeGuard[list[str]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, str) and one.strip() for one in value)
        and len(set(value)) == len(value)
    )


def people_named(text: str) -> tuple[str, ...]:
    """``"3"`` as three people, or ``"Ann,Ben"`` as those. Raises ``InputError``."""
    if text.strip().isascii() and text.strip().isdigit():
        number = int(text) if len(text.strip()) < 9 else 0
        if not 1 <= number <= _MAX_PEOPLE:
            raise InputError(f"--people {text!r:.80}: expected from 1 to {_MAX_PEOPLE} people, or their names")
        return tuple(f"person-{one}" for one in range(1, number + 1))
    names = [name.strip() for name in text.split(",")]
    if not _are_names(names):
        raise InputError(f"--people {text!r:.80}: expected a number, or different names with commas between them")
    return tuple(names)


def split_run(run: Run, people: Sequence[str], overlap: float = 0.0, seed: int = 0) -> Assignments:
    """Deal the objects of ``run`` out to ``people``.

    The objects of an image go to one person, unless they are more than a person's share. Shares have about as many
    objects of each quarter of the predicted IoU; objects without one (failed, not found) are a group of their own. A
    share ``overlap`` of all objects, rounded to a whole number and drawn from all predicted IoUs alike, is given to a
    second person too, each pair of people about equally often. The same ``seed`` deals the same again.

    Raises ``InputError`` for names that are none or given twice, an ``overlap`` outside 0..1, or one above 0 with a
    single person.
    """
    if not _are_names(list(people)):
        raise InputError("the people to deal out to must have different names")
    if not 0 <= overlap <= 1:
        raise InputError(f"the overlap is a share of the objects, from 0 to 1, got {overlap:g}")
    if overlap and len(people) < 2:
        raise InputError("an overlap needs two people or more: nobody is compared with themselves")
    objects = [_Dealt.of(record) for record in run.records()]
    rng = np.random.default_rng(seed)
    strata = _strata(objects)
    owner = _dealt(objects, strata, len(people), rng)
    second = _seconds(objects, owner, round(overlap * len(objects)), len(people), rng)
    return Assignments(
        tuple(people),
        {
            one.object_id: tuple(people[who] for who in (owner[place], second.get(place)) if who is not None)
            for place, one in enumerate(objects)
        },
        seed,
    )


@dataclass(frozen=True, slots=True)
class _Dealt:
    object_id: str
    image: str
    predicted: float | None

    @staticmethod
    def of(record: Any) -> _Dealt:
        if isinstance(record, Failure):
            return _Dealt(record.sample_id, record.image, None)
        predicted = None if record.outcome == "not_found" else record.predicted_iou
        return _Dealt(record.object_id, record.image, predicted)


def _strata(objects: Sequence[_Dealt]) -> list[int]:
    """The quarter of the predicted IoU that each object lies in, from 0; one more number for those without."""
    scored = sorted((one.predicted, place) for place, one in enumerate(objects) if one.predicted is not None)
    found = [_STRATA] * len(objects)
    for rank, (_, place) in enumerate(scored):
        found[place] = rank * _STRATA // len(scored)
    return found


def _dealt(objects: Sequence[_Dealt], strata: Sequence[int], people: int, rng: np.random.Generator) -> list[int]:
    """Who gets each object: large images first, each to whom it evens the shares out most."""
    by_image: defaultdict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(objects):
        by_image[one.image].append(place)
    fair = max(-(-len(objects) // people), 1)
    portions = [places[start : start + fair] for places in by_image.values() for start in range(0, len(places), fair)]
    shuffled = [portions[place] for place in rng.permutation(len(portions))]
    load = np.zeros((people, _STRATA + 1), np.int64)
    owner = [0] * len(objects)
    for portion in sorted(shuffled, key=len, reverse=True):
        more = np.bincount([strata[place] for place in portion], minlength=_STRATA + 1)
        # By how much the sum of squares would rise: shares that are even have the least.
        unevenness = (2 * load * more).sum(axis=1) + 2 * load.sum(axis=1) * more.sum()
        lowest = np.flatnonzero(unevenness == unevenness.min())
        who = int(lowest[rng.integers(len(lowest))])
        load[who] += more
        for place in portion:
            owner[place] = who
    return owner


def _seconds(
    objects: Sequence[_Dealt], owner: Sequence[int], num: int, people: int, rng: np.random.Generator
) -> dict[int, int]:
    """Who else looks at ``num`` of the objects, one of each of as many equal parts in order of the predicted IoU."""
    order = rng.permutation(len(objects)).tolist()
    order.sort(key=lambda place: -1.0 if (predicted := objects[place].predicted) is None else predicted)
    drawn = [order[int(rng.integers(part * len(order) // num, (part + 1) * len(order) // num))] for part in range(num)]
    pairs: Counter[tuple[int, int]] = Counter(dict.fromkeys(combinations(range(people), 2), 0))
    load = Counter(owner)
    found: dict[int, int] = {}
    for place in (drawn[one] for one in rng.permutation(num)):
        first = owner[place]
        others = [who for who in range(people) if who != first]
        who = min(others, key=lambda other: (pairs[min(first, other), max(first, other)], load[other]))
        pairs[min(first, who), max(first, who)] += 1
        load[who] += 1
        found[place] = who
    return found
