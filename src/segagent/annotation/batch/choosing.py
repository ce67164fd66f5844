"""Which objects are meant: ``--only image=..., category=..., id=..., doubtful`` of every command that takes it.

Of one kind any value may fit, of several kinds each must. A choice of a run's is among its settings; a choice of what
is read of a run changes nothing in it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from segagent.core import Image, InputError
from segagent.core.texts import parse_json, read_text
from segagent.datasets import Dataset, Sample, SampleGroup
from segagent.datasets.sample import GroupsAtHand

DOUBTFUL = "doubtful"
_USAGE = "expected image=NAME or a pattern such as image=day1/*.jpg, category=NAME, id=ID, id=@FILE, or doubtful"
_AND = re.compile(r",\s*(?=(?:image|category|id)=|doubtful(?:,|$))")
_MOST_NAMED = 20
_MAX_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class Only:
    """A choice of objects; one without any condition takes all.

    ``images``: names, or patterns with ``*``, ``?`` and ``[...]``, of whole names or of their last parts.
    ``categories``: the object's, its sentence where it has none. ``doubtful``: the policy has doubts about the object.
    """

    images: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    doubtful: bool = False

    @staticmethod
    def parse(conditions: Sequence[str]) -> Only:
        """The choice that the values of ``--only`` make; see the module. Raises ``InputError`` for other ones.

        One value may hold several conditions with commas between them; a comma that no condition follows belongs to the
        value.
        """
        images: list[str] = []
        categories: set[str] = set()
        ids: set[str] = set()
        given = [part for condition in conditions for part in _AND.split(condition)]
        for condition in given:
            kind, _, value = condition.partition("=")
            if condition != DOUBTFUL and (kind not in ("image", "category", "id") or not value):
                raise InputError(f"--only {condition!r:.100}: {_USAGE}")
            if kind == "image":
                _fits("x", value)
                images.append(value)
            elif kind == "category":
                categories.add(value)
            elif kind == "id":
                ids |= _listed(Path(value[1:])) if value.startswith("@") else {value}
        return Only(tuple(dict.fromkeys(images)), frozenset(categories), frozenset(ids), DOUBTFUL in given)

    def __bool__(self) -> bool:
        """Whether there is any condition."""
        return self != Only()

    def __str__(self) -> str:
        """In words; see :meth:`words`."""
        return self.words(self.to_dict())

    @staticmethod
    def words(settings: object) -> str:
        """What :meth:`to_dict` gave, read from a run's settings, in words."""
        if not isinstance(settings, dict):
            return str(settings)
        listed = {kind: values if isinstance(values, list) else [values] for kind, values in settings.items()}
        plain = {DOUBTFUL: DOUBTFUL, "joined": "{}"}
        return ", ".join(plain.get(kind, f"{kind}={{}}").format(one) for kind, ones in listed.items() for one in ones)

    def to_dict(self) -> dict[str, Any]:
        """For a run's settings; of many ids their number and a digest."""
        ids = sorted(self.ids)
        if len(ids) > _MOST_NAMED:
            digest = hashlib.blake2b("\n".join(ids).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            ids = [f"{len(ids)} objects, digest {digest}"]
        told = {"image": sorted(self.images), "category": sorted(self.categories), "id": ids, DOUBTFUL: self.doubtful}
        return {kind: values for kind, values in told.items() if values}

    @property
    def in_data(self) -> bool:
        """Whether there is any condition that a data set can answer."""
        return bool(self.images or self.categories or self.ids)

    def takes_image(self, name: str) -> bool:
        """Whether objects of an image of this name may be meant."""
        return not self.images or any(_fits(name, one) for one in self.images)

    def takes(self, object_id: str, image: str, label: str | None) -> bool:
        """Whether this object is meant, doubts left aside. ``label``: its category or sentence, None: not known."""
        return (
            self.takes_image(image)
            and (not self.categories or label is None or label in self.categories)
            and (not self.ids or object_id in self.ids)
        )

    def unknown(self, objects: Collection[tuple[str, str, str | None]]) -> Iterator[str]:
        """Conditions that fit none of the ``objects``, (id, image, label) each, in words."""
        names = {image for _, image, _ in objects}
        for pattern in self.images:
            if not any(_fits(name, pattern) for name in names):
                yield f"no image is called {pattern!r:.100}"
        labels = {label for _, _, label in objects}
        for label in sorted(self.categories - labels):
            yield f"no object is of category {label!r:.100}"
        missing = sorted(self.ids - {object_id for object_id, _, _ in objects})
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            yield f"no object has the id {', '.join(f'{one!r:.80}' for one in missing[:5])}{more}"


def _fits(name: str, pattern: str) -> bool:
    try:
        return name == pattern or PurePosixPath(name).match(pattern)
    except ValueError as error:
        raise InputError(f"--only image={pattern!r:.100}: no name and no pattern of one; {_USAGE}") from error


def _listed(file: Path) -> set[str]:
    """The ids in a file: one a line, or those of the work list that ``segagent review`` wrote."""
    text = read_text(file, "expected a text file with one object id a line, or a worklist.json", _MAX_BYTES)
    if file.suffix.lower() == ".json":
        content = parse_json(text.encode("utf-8"), file)
        objects = content.get("objects") if isinstance(content, dict) else None
        if not isinstance(objects, list) or not all(
            isinstance(one, dict) and isinstance(one.get("object_id"), str) for one in objects
        ):
            raise InputError(f"{file}: not the worklist.json of a review; expected 'objects' that have an 'object_id'")
        ids = {one["object_id"] for one in objects}
    else:
        ids = {line.strip() for line in text.split("\n")} - {""}
    if not ids:
        raise InputError(f"{file}: names no object")
    return ids


@dataclass(frozen=True, slots=True)
class _ChosenGroup:
    """Those samples of a group that are meant."""

    group: SampleGroup
    ids: frozenset[str]

    @property
    def image_name(self) -> str:
        """See :class:`segagent.datasets.SampleGroup`."""
        return self.group.image_name

    def samples(self) -> Sequence[Sample]:
        """See :class:`segagent.datasets.SampleGroup`."""
        return [sample for sample in self.group.samples() if sample.sample_id in self.ids]


class ChosenDataset(GroupsAtHand):
    """The samples of ``source`` that ``only`` takes, doubts left aside; see :class:`segagent.datasets.Dataset`.

    ``warn`` is told of conditions that fit nothing. Raises ``InputError`` where no sample is left.
    """

    def __init__(self, source: Dataset, only: Only, warn: Callable[[str], None] = lambda words: None) -> None:
        self.spec, self.fingerprint = source.spec, source.fingerprint
        self._source = source
        self._groups = groups = list[_ChosenGroup]()
        seen: list[tuple[str, str, str | None]] = []
        for group in source.groups():
            if not only.takes_image(group.image_name):
                seen.append(("", group.image_name, None))
                continue
            known = [(one.sample_id, group.image_name, one.category or one.text) for one in group.samples()]
            seen += known
            if ids := frozenset(one[0] for one in known if only.takes(*one)):
                groups.append(_ChosenGroup(group, ids))
        if not groups:
            words = "; ".join(only.unknown(seen)) or "no object fits all of it"
            raise InputError(f"--only {only}: chooses nothing of {source.spec}: {words}")
        where = "the chosen images of " if only.images else ""
        for words in only.unknown(seen):
            warn(f"--only: {words} in {where}{source.spec}")

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        return self._source.load_image(name)
