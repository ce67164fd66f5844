"""Batches joined: several runs of one job as one run folder, with one list of objects and one of classes.

Runs over one data set (made of different objects, say) become a run over that data set; runs over several become one
over a ``joined:`` data set, in which ids and images' names get the batch's name in front where they would collide.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal, TypeAlias

from segagent.annotation.batch.choosing import Only
from segagent.annotation.batch.folder import CALIBRATION_NAME, COSTS_FILE, JOURNAL_FILE, Run, open_run
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.batch.summary import write_summary
from segagent.annotation.interop.outputs import MARKER, new_folder, refuse_existing
from segagent.annotation.people import PEOPLE_FILE, PeopleLog, read_events
from segagent.annotation.team.batches import Batch, joined_batches
from segagent.annotation.team.joining_events import joined_events
from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.core.settings import changed_settings
from segagent.core.texts import read_json
from segagent.datasets import Dataset
from segagent.runs.journal import Journal

MERGED_SCHEMA = "segagent.merged/1"

Keep: TypeAlias = Literal["first", "last"]
"""Whose answer counts where several runs have different ones of an object: that of the run named first, or last."""

_SAME = ("job", "policy", "policy_answers", "tool", "tool_answers", "calibration")
"""Settings without which one run's scores mean something else than another's."""
_OWN = ("what", "dataset", "num_images", "only", "merged", *_SAME)
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Merged:
    """What was joined. ``num_events``: of people's records. ``num_twice``: objects that several runs had.

    ``renamed``: whether ids or images' names got the batches' names in front. ``classes``: of all data sets, in order.
    ``warnings``: what is to be known, a line each.
    """

    run: Run
    num_objects: int
    num_failed: int
    num_events: int
    num_twice: int
    renamed: bool
    classes: tuple[str, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        told = {name: getattr(self, name) for name in self.__slots__ if name != "run"}
        return {"run": str(self.run.folder), **told, "classes": list(self.classes), "warnings": list(self.warnings)}


def merge_runs(
    folders: Sequence[str | Path], out: str | Path, *, keep: Keep | None = None, force: bool = False
) -> Merged:
    """Write the runs in ``folders`` as one run folder ``out``, whole or not at all; see the module.

    The records of an object are those of its run. People's events are numbered anew in the order of time; what they did
    to one object in one run stays together. An object that several runs have with the same answer is taken once; of
    different answers ``keep`` says which one counts, but where people have worked on one of them, that one does.

    Raises ``InputError`` for what cannot be joined: other jobs or models, an object with different answers and no
    ``keep``, two classes of one name, a data set that is gone, an ``out`` that is there without ``force``.
    """
    target = Path(out)
    _refuse_to_lose(target, force=force)
    runs = [open_run(folder) for folder in folders]
    if len({run.folder.resolve() for run in runs}) < max(len(runs), 2):
        raise InputError("merging takes two runs or more, each given once")
    warnings = list(_differences(runs))
    batches, dataset = joined_batches(runs, warnings.append)
    with TemporaryFile() as aside:
        objects = _AllObjects(aside, keep)
        for place, batch in enumerate(batches):
            objects.take(place, batch)
        if not objects.places:
            raise InputError("none of the runs has done an object")
        objects.require_agreement(batches)
        events = joined_events(batches, objects.dropped)
        warnings += objects.told(batches) + events.told
        about: dict[str, Any] = {"schema": MERGED_SCHEMA, "runs": [str(run.folder.resolve()) for run in runs]}
        about["events"] = len(events.events)
        with new_folder(target, about, force=force) as folder:
            left = sum(run.num_images_left() for run in runs)
            images = objects.by_image(dataset)
            settings = _settings(runs, dataset, len(images) + left, objects.places.keys())
            with Journal(folder / JOURNAL_FILE, settings, _notes(runs, batches, dataset)) as journal:
                for unit, names in enumerate(images):
                    journal.append(unit, [objects.read(name) for name in names])
            _write_costs(runs, folder, settings)
            _copy_calibration(runs, folder)
            made = open_run(folder)
            if events.events:
                with PeopleLog(made) as log:
                    log.append(events.events)
            write_summary(made, "")
    classes = getattr(dataset, "categories", ())
    renamed = any(batch.ids or batch.images for batch in batches)
    return Merged(
        open_run(target),
        len(objects.places),
        objects.num_failed,
        len(events.events),
        len(objects.twice),
        renamed,
        tuple(classes),
        tuple(warnings),
    )


def _refuse_to_lose(out: Path, *, force: bool) -> None:
    """Raise ``InputError`` where ``out`` is there and may not be replaced: without ``force``, and with it where people
    have worked on it since it was joined.
    """
    refuse_existing(out, force=force)
    if (out / MARKER).is_file() and (out / PEOPLE_FILE).is_file():
        about = read_json(out / MARKER)
        joined = about.get("events") if isinstance(about, dict) else None
        if sum(1 for _ in read_events(open_run(out))) != joined:
            raise InputError(f"{out}: people have done something to it since it was joined; choose another name")


def _differences(runs: Sequence[Run]) -> Iterator[str]:
    """What differs between the runs' settings and may. Raises ``InputError`` for what may not."""
    first = runs[0]
    for run in runs[1:]:
        if words := changed_settings(_some(first.config, _SAME), _some(run.config, _SAME)):
            raise InputError(
                f"{run.folder}: cannot be joined with {first.folder} ({words}): its scores mean something else; export "
                "both and join what is exported"
            )
        others = (first.config.keys() | run.config.keys()) - set(_OWN)
        if words := changed_settings(_some(first.config, sorted(others)), _some(run.config, sorted(others))):
            yield f"{run.folder}: was made with other settings than {first.folder} ({words})"


def _some(config: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: config.get(name) for name in names}


@dataclass(frozen=True, slots=True)
class _Word:
    """What the run at ``place`` says of an object: a digest of its ``answer``, None where it failed. ``by_people``:
    whether people have worked on it there.
    """

    place: int
    answer: str | None
    by_people: bool


@dataclass
class _AllObjects:
    """The records of all runs, set aside in ``file``. ``places``: where each object's stands there.

    ``twice``: objects that several runs have. ``dropped``: runs and objects, whose word on them does not count.
    """

    file: Any
    keep: Keep | None
    places: dict[str, tuple[int, int]] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    dropped: set[tuple[int, str]] = field(default_factory=set)
    _images: dict[str, str] = field(default_factory=dict)
    _words: dict[str, _Word] = field(default_factory=dict)
    _differing: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def num_failed(self) -> int:
        return sum(word.answer is None for word in self._words.values())

    def take(self, place: int, batch: Batch) -> None:
        """All objects of a run; one that an earlier run has too is decided between them."""
        touched = {event.object_id for event in read_events(batch.run)}
        for record in batch.run.records():
            named = batch.named(record)
            name = _id_of(named)
            answer = None if isinstance(named, Failure) else _answer(named)
            word = _Word(place, answer, _id_of(record) in touched)
            if name in self._words and not self._goes_before(name, word, self._words[name]):
                continue
            line = json.dumps(named.to_dict()).encode("ascii")
            self.places[name] = (self.file.seek(0, 2), len(line))
            self.file.write(line)
            self._words[name] = word
            self._images[name] = named.image

    def _goes_before(self, name: str, word: _Word, earlier: _Word) -> bool:
        """Whether ``word`` counts and not the ``earlier`` one."""
        self.twice.add(name)
        if word.answer == earlier.answer:
            self._words[name] = replace(earlier, by_people=earlier.by_people or word.by_people)
            return False
        if word.answer is None or earlier.answer is None:
            return earlier.answer is None  # An answer goes before a failure.
        later = word.by_people
        if word.by_people == earlier.by_people:
            later = self.keep == "last"
            if self.keep is None:
                self._differing[name] = (earlier.place, word.place)
        self.dropped.add((earlier.place if later else word.place, name))
        return later

    def require_agreement(self, batches: Sequence[Batch]) -> None:
        """Raise ``InputError`` where runs have different answers and nobody said whose counts."""
        if not self._differing:
            return
        told = [
            f"{name!r:.80} in {batches[first].run.folder} and {batches[second].run.folder}"
            for name, (first, second) in list(self._differing.items())[:_NAMED]
        ]
        more = f" and {len(self._differing) - _NAMED} more" if len(self._differing) > _NAMED else ""
        raise InputError(
            f"the runs have different answers of the same objects: {'; '.join(told)}{more}; say whose counts "
            "(--keep first, --keep last)"
        )

    def told(self, batches: Sequence[Batch]) -> list[str]:
        """What became of objects that several runs have, in words."""
        lost = Counter(place for place, _ in self.dropped)
        return [
            f"{number} answers of {batches[place].run.folder} gave way to another run's"
            for place, number in lost.items()
        ]

    def by_image(self, dataset: Dataset) -> list[list[str]]:
        """The names of the objects image by image, images in the data set's order."""
        of_image: defaultdict[str, list[str]] = defaultdict(list)
        for name, image in self._images.items():
            of_image[image].append(name)
        order = {group.image_name: place for place, group in enumerate(dataset.groups())}
        return [of_image[image] for image in sorted(of_image, key=lambda image: order.get(image, len(order)))]

    def read(self, name: str) -> dict[str, Any]:
        """An object's record."""
        place, length = self.places[name]
        self.file.seek(place)
        record: dict[str, Any] = json.loads(self.file.read(length))
        return record


def _id_of(record: ObjectRecord | Failure) -> str:
    return record.sample_id if isinstance(record, Failure) else record.object_id


def _answer(record: ObjectRecord) -> str:
    """A digest of what a run says of an object."""
    said = [
        record.outcome,
        record.text,
        record.category,
        record.trajectory.rle_at(record.trajectory.returned)["counts"],
        record.predicted_iou,
        record.given_iou,
    ]
    return hashlib.blake2b(json.dumps(said).encode("ascii"), digest_size=16).hexdigest()


def _settings(runs: Sequence[Run], dataset: Dataset, num_images: int, done: Container[str]) -> dict[str, Any]:
    settings = {name: value for name, value in runs[0].config.items() if name not in ("only", "merged")}
    if len({run.config.get("guidelines") for run in runs}) > 1:
        settings.pop("guidelines", None)
    told = [hashlib.blake2b(json.dumps(run.config, sort_keys=True).encode(), digest_size=8).hexdigest() for run in runs]
    settings |= {"dataset": dataset.fingerprint, "num_images": num_images, "merged": told}
    choices = [Only.words(run.config["only"]) for run in runs if run.made_of_some]
    if choices and any(sample.sample_id not in done for sample in dataset):
        settings["only"] = {"joined": " or ".join(dict.fromkeys(choices))}
    return settings


def _notes(runs: Sequence[Run], batches: Sequence[Batch], dataset: Dataset) -> dict[str, Any]:
    versions: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for run in runs:
        told = run.notes.get("versions")
        for name, version in told.items() if isinstance(told, Mapping) else ():
            versions[str(name)][str(version)] = None
    merged = [{"run": batch.name, "dataset": batch.run.notes.get("dataset")} for batch in batches]
    return {
        **runs[0].notes,
        "dataset": dataset.spec,
        "versions": {name: " and ".join(values) for name, values in versions.items()},
        "merged": merged,
    }


def _write_costs(runs: Sequence[Run], folder: Path, settings: Mapping[str, Any]) -> None:
    """One line with what all runs have cost: of their images nothing is known any more that could be gone on with."""
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run.costs())
    with Journal(folder / COSTS_FILE, {name: settings[name] for name in ("dataset", "num_images")}, {}) as costs:
        costs.append(0, [{"cost": dict(total)}])


def _copy_calibration(runs: Sequence[Run], folder: Path) -> None:
    stored = next((run.folder / CALIBRATION_NAME for run in runs if (run.folder / CALIBRATION_NAME).is_file()), None)
    if stored is not None:
        (folder / CALIBRATION_NAME).write_bytes(stored.read_bytes())
