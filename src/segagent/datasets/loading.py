"""Samples with their pixels: an image's picture is read once, and a sample that cannot be used says why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from segagent.core import BoolMask, Image, InputError
from segagent.core.failures import Failure
from segagent.datasets.sample import Sample


@dataclass(frozen=True, eq=False)
class Loaded:
    """A sample, its picture, its mask bool (height, width), and the pixels to leave out of the IoU or None."""

    sample: Sample
    image: Image
    mask: BoolMask
    ignore: BoolMask | None


def load_samples(samples: Iterable[Sample]) -> list[Loaded | Failure]:
    """The samples of one image, in order, each loaded or with the reason why it cannot be."""
    picture = OncePicture()
    found: list[Loaded | Failure] = []
    for sample in samples:
        try:
            image = picture.of(sample)
            found.append(Loaded(sample, image, *sample.load_target(image)))
        except InputError as error:
            found.append(Failure(sample.sample_id, sample.image_name, str(error)))
    return found


class OncePicture:
    """The picture that samples share, read for the first of them that can."""

    def __init__(self) -> None:
        self._image: Image | None = None

    def of(self, sample: Sample) -> Image:
        """The picture. Raises ``InputError`` where it cannot be read, or where ``sample`` itself cannot be used."""
        if self._image is None:
            self._image = sample.load_image()
        return self._image
