"""Several data sets as one, by reference: ``joined:`` and the JSON list of its parts, as ``segagent merge`` writes it.

A part is ``{"name", "dataset", "ids", "images"}``: its specification, and what goes before its samples' ids and before
its images' names. An image name that two parts share without such a prefix is one image. Nothing is copied.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

from segagent.core import BoolMask, Image, InputError
from segagent.core.extensions import from_record
from segagent.datasets.listed import fingerprint_of
from segagent.datasets.sample import Dataset, GroupsAtHand, Sample, SampleGroup

SCHEME = "joined"


@dataclass(frozen=True, slots=True)
class Part:
    """One of the joined data sets: ``ids`` and ``images`` are prefixes, empty for none."""

    name: str
    dataset: str
    ids: str = ""
    images: str = ""


@dataclass(frozen=True, slots=True)
class JoinedSample:
    """A part's sample under the names of the whole. See :class:`segagent.datasets.Sample`."""

    sample: Sample
    part: Part

    @property
    def sample_id(self) -> str:
        """See :class:`segagent.datasets.Sample`."""
        return self.part.ids + self.sample.sample_id

    @property
    def image_name(self) -> str:
        """See :class:`segagent.datasets.Sample`."""
        return self.part.images + self.sample.image_name

    @property
    def text(self) -> str:
        """See :class:`segagent.datasets.Sample`."""
        return self.sample.text

    @property
    def category(self) -> str | None:
        """See :class:`segagent.datasets.Sample`."""
        return self.sample.category

    @property
    def kind(self) -> str | None:
        """See :class:`segagent.datasets.Sample`."""
        return self.sample.kind

    def load_image(self) -> Image:
        """See :class:`segagent.datasets.Sample`."""
        return self.sample.load_image()

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """See :class:`segagent.datasets.Sample`."""
        return self.sample.load_target(image)


@dataclass(frozen=True, slots=True)
class _JoinedGroup:
    """All samples about one image, part after part."""

    image_name: str
    groups: tuple[tuple[Part, SampleGroup], ...]

    def samples(self) -> Sequence[JoinedSample]:
        """See :class:`segagent.datasets.SampleGroup`."""
        return [JoinedSample(one, part) for part, group in self.groups for one in group.samples()]


class JoinedDataset(GroupsAtHand):
    """The samples of ``parts``, (part, its data set) each, in order. See :class:`segagent.datasets.Dataset`.

    ``categories``: those that any part lists, each name once, in the order of the parts.
    """

    def __init__(self, parts: Sequence[tuple[Part, Dataset]]) -> None:
        self.parts = tuple(parts)
        self.categories = tuple(
            dict.fromkeys(name for _, dataset in parts for name in getattr(dataset, "categories", ()))
        )

    @staticmethod
    def from_spec(spec: str, open_part: Callable[[str], Dataset]) -> JoinedDataset:
        """What ``spec`` says, its parts opened by ``open_part``. Raises ``InputError`` where it is none."""
        try:
            listed = [Part(**entry) for entry in json.loads(spec.removeprefix(f"{SCHEME}:"))]
            if not listed or not all(isinstance(value, str) for part in listed for value in asdict(part).values()):
                raise ValueError("a part's values are texts")
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(
                f"{spec!r:.200}: not a list of data sets as segagent merge writes it ({str(error)[:80]})"
            ) from error
        if any(part.dataset.startswith(f"{SCHEME}:") for part in listed):
            raise InputError(f"{spec!r:.200}: a part of joined data sets is none itself")
        return JoinedDataset([(part, open_part(from_record(part.dataset, SCHEME))) for part in listed])

    @property
    def spec(self) -> str:
        """See :class:`segagent.datasets.Dataset`."""
        return f"{SCHEME}:{json.dumps([asdict(part) for part, _ in self.parts])}"

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`segagent.datasets.Dataset`."""
        return fingerprint_of(*(told for part, one in self.parts for told in (part.ids, part.images, one.fingerprint)))

    def __iter__(self) -> Iterator[Sample]:
        for part, dataset in self.parts:
            for sample in dataset:
                yield JoinedSample(sample, part)

    def load_image(self, name: str) -> Image:
        """See :class:`segagent.datasets.Dataset`."""
        dataset, own = self.part_of(name)
        return dataset.load_image(own)

    def part_of(self, image_name: str) -> tuple[Dataset, str]:
        """The data set that has the image, and its name there. Raises ``InputError`` for an unknown one."""
        group = self._by_name.get(image_name)
        if group is None:
            raise InputError(f"{image_name!r:.200}: no image of the joined data sets")
        part, own = group.groups[0]
        return next(dataset for one, dataset in self.parts if one is part), own.image_name

    @cached_property
    def _by_name(self) -> dict[str, _JoinedGroup]:
        found: dict[str, list[tuple[Part, SampleGroup]]] = {}
        for part, dataset in self.parts:
            for group in dataset.groups():
                found.setdefault(part.images + group.image_name, []).append((part, group))
        return {name: _JoinedGroup(name, tuple(groups)) for name, groups in found.items()}

    @cached_property
    def _groups(self) -> Sequence[SampleGroup]:  # type: ignore[override]  # made when it is needed
        return list(self._by_name.values())
