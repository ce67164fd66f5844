"""The data set and models of the folders in ``released``: always the same, and broken where wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cheap_models import TinyDataset, TinySample
from segagent.core import Image, InputError
from segagent.datasets import SampleGroup
from segagent.datasets.sample import ListedGroup

NUM_IMAGES = 5
WAYS = ("res", "noc")
SCENES = "scenes:4:size=64,sentences=2,seed=3"


@dataclass(frozen=True, eq=False, slots=True)
class NoPicture(TinySample):
    """A sample whose picture is not there."""

    def load_image(self) -> Image:
        """Raises."""
        raise InputError(f"{self.image_name}: no such file")


@dataclass(frozen=True)
class Flaky(TinyDataset):
    """Tiny pictures with two objects each; those of the images in ``broken`` cannot be read."""

    num_images: int = NUM_IMAGES
    objects_per_image: int = 2
    broken: frozenset[int] = frozenset()

    def groups(self) -> Iterator[SampleGroup]:
        """The samples, image by image."""
        for place, group in enumerate(super().groups()):
            if place not in self.broken:
                yield group
                continue
            told = tuple(NoPicture(s.sample_id, s.image_name, s.text, place) for s in group.samples())
            yield ListedGroup(group.image_name, told)


WHOLE = Flaky()
FLAKY = Flaky(broken=frozenset({1, 3}))
HALF_MENDED = Flaky(broken=frozenset({3}))
