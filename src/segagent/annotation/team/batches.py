"""The runs that are to be joined, and the names that their objects and images get in the whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, count

from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
from segagent.annotation.interop.pictures import images_folder
from segagent.annotation.people import read_events
from segagent.core import InputError
from segagent.core.failures import Failure
from segagent.datasets import Dataset, JoinedDataset
from segagent.datasets.joined import Part

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """A run, and what goes before its objects' ids and its images' names."""

    name: str
    run: Run
    ids: str = ""
    images: str = ""

    def named(self, record: ObjectRecord | Failure) -> ObjectRecord | Failure:
        """The record under the names of the whole."""
        if isinstance(record, Failure):
            return replace(record, sample_id=self.ids + record.sample_id, image=self.images + record.image)
        name, image = self.ids + record.object_id, self.images + record.image
        return replace(record, object_id=name, trajectory=replace(record.trajectory, sample_id=name, image=image))


@dataclass(frozen=True, slots=True)
class _Source:
    """One of the data sets, the ids of its samples and of what people added, and its images' names."""

    name: str
    dataset: Dataset
    pictures: str
    ids: frozenset[str]
    images: frozenset[str]


def joined_batches(runs: Sequence[Run], warn: Callable[[str], None]) -> tuple[list[Batch], Dataset]:
    """The runs as batches, and the data set that they are of together.

    Raises ``InputError`` for a data set that is not there any more, and for two classes of one name. ``warn`` is told
    what looks like one and is taken for two.
    """
    names = _unique([run.folder.resolve().name for run in runs])
    opened = [run.dataset() for run in runs]
    keys = [(dataset.fingerprint, _pictures(dataset)) for dataset in opened]
    distinct = {key: place for place, key in reversed(list(enumerate(keys)))}
    places = sorted(distinct.values())
    _require_one_class_a_name([opened[place] for place in places], warn)
    if len(places) == 1:
        return [Batch(name, run) for name, run in zip(names, runs, strict=True)], opened[0]
    for first, second in combinations(places, 2):
        if keys[first][0] == keys[second][0]:
            warn(
                f"{runs[first].folder} and {runs[second].folder} have the same annotations of pictures at two places; "
                "they are taken for two data sets"
            )
    sources = [
        _source(names[place], opened[place], [run for run, key in zip(runs, keys, strict=True) if key == keys[place]])
        for place in places
    ]
    id_prefixes = _id_prefixes(sources)
    image_prefixes = _image_prefixes(sources)
    whole = JoinedDataset(
        [
            part
            for source, ids, images in zip(sources, id_prefixes, image_prefixes, strict=True)
            for part in _parts(source, ids, images)
        ]
    )
    batches = []
    for name, run, key in zip(names, runs, keys, strict=True):
        own = places.index(distinct[key])
        batches.append(Batch(name, run, id_prefixes[own], image_prefixes[own]))
    return batches, whole


def _pictures(dataset: Dataset) -> str:
    """Where the pictures are: the folder, or the data set itself where it holds them."""
    folder = images_folder(dataset)
    return dataset.spec if folder is None else str(folder.resolve())


def _source(name: str, dataset: Dataset, runs: Sequence[Run]) -> _Source:
    ids = {sample.sample_id for sample in dataset}
    ids |= {event.object_id for run in runs for event in read_events(run)}
    images = frozenset(group.image_name for group in dataset.groups())
    return _Source(name, dataset, _pictures(dataset), frozenset(ids), images)


def _id_prefixes(sources: Sequence[_Source]) -> list[str]:
    """What goes before each source's ids: its name, where any two share an id."""
    shared = any(one.ids & other.ids for one, other in combinations(sources, 2))
    return [f"{source.name}/" if shared else "" for source in sources]


def _image_prefixes(sources: Sequence[_Source]) -> list[str]:
    """The same for images; sources whose pictures lie in one folder share them, and the prefix."""
    shared = any(one.images & other.images for one, other in combinations(sources, 2) if one.pictures != other.pictures)
    first = {source.pictures: source.name for source in reversed(sources)}
    return [f"{first[source.pictures]}/" if shared else "" for source in sources]


def _parts(source: _Source, ids: str, images: str) -> Iterator[tuple[Part, Dataset]]:
    """A source as parts of the whole; one that is joined itself as its own parts."""
    if isinstance(source.dataset, JoinedDataset):
        for part, dataset in source.dataset.parts:
            yield Part(f"{source.name}/{part.name}", part.dataset, ids + part.ids, images + part.images), dataset
    else:
        yield Part(source.name, source.dataset.spec, ids, images), source.dataset


def _unique(names: Sequence[str]) -> list[str]:
    """The names, the second to want one with ``_2`` behind, and so on."""
    given: list[str] = []
    for name in names:
        numbered = (name if number == 1 else f"{name}_{number}" for number in count(1))
        given.append(next(one for one in numbered if one not in given))
    return given


def _require_one_class_a_name(datasets: Sequence[Dataset], warn: Callable[[str], None]) -> None:
    """Raise ``InputError`` where two data sets mean different classes by one name."""
    above: dict[str, str] = {}
    spelled: dict[str, str] = {}
    differing: list[str] = []
    alike: list[str] = []
    plain = [
        part for one in datasets for part in ([d for _, d in one.parts] if isinstance(one, JoinedDataset) else [one])
    ]
    for dataset in plain:
        for name, supercategory in getattr(dataset, "supercategories", {}).items():
            if above.setdefault(name, supercategory) != supercategory:
                differing.append(f"{name!r:.80} ({above[name]!r:.40} and {supercategory!r:.40})")
        for name in getattr(dataset, "categories", ()):
            folded = " ".join(name.casefold().replace("_", " ").replace("-", " ").split())
            if spelled.setdefault(folded, name) != name:
                alike.append(f"{spelled[folded]!r:.80} and {name!r:.80}")
    if differing:
        more = f" and {len(differing) - _NAMED} more" if len(differing) > _NAMED else ""
        raise InputError(
            f"the data sets mean different classes by one name, for their supercategories differ: "
            f"{', '.join(differing[:_NAMED])}{more}; rename one of them in its data set"
        )
    if alike:
        more = f" and {len(alike) - _NAMED} more" if len(alike) > _NAMED else ""
        warn(f"classes that are spelled nearly alike are kept apart: {', '.join(alike[:_NAMED])}{more}")
