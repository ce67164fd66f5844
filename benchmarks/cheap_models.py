"""Models that cost next to nothing and answer every object differently, always the same: for runs by the thousand."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segagent.annotation.batch import Models
from segagent.core import BoolMask, Image, Observation, Proposal
from segagent.datasets.sample import ListedGroup, Sample, SampleGroup
from segagent.imaging import save_png
from segagent.policies.reply import parse_reply
from segagent.tools.fake import DiscTool


class Saying:
    """A policy that has one thing to say of what it sees, however often it is asked: :meth:`says`."""

    name = "saying"

    def says(self, look: Observation, seed: int) -> Proposal:
        """The reply to ``look``; ``seed`` is that of the question, 0 where it has none."""
        raise NotImplementedError

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`."""
        del temperature
        asked = zip(observations, seeds or [0] * len(observations), strict=True)
        return [[self.says(look, seed)] * num_proposals for look, seed in asked]


class CheapPolicy:
    """Clicks and scores by a checksum of words and mask."""

    name = "cheap"

    def propose(
        self,
        observations: Sequence[Observation],
        num_proposals: int = 1,
        *,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[list[Proposal]]:
        """See :class:`segagent.core.Policy`; sampled proposals differ by their seed."""
        del temperature
        replies = []
        for place, observation in enumerate(observations):
            height, width = observation.mask.shape
            seed = 0 if seeds is None else seeds[place]
            number = zlib.crc32(np.packbits(observation.mask).tobytes(), zlib.crc32(observation.text.encode()))
            row = []
            for index in range(num_proposals):
                drawn = zlib.crc32(b"%d %d" % (seed if index else 0, index), number)
                sign = "Positive" if drawn % 3 else "Negative"
                text = f"Current IoU: {number % 100}. {sign} point: ({drawn % width}, {drawn // width % height})"
                action, predicted = parse_reply(text, height, width)
                row.append(Proposal(action, predicted, None, text))
            replies.append(row)
        return replies


def cheap_models() -> Models:
    """The above with the tool that draws discs."""
    return Models(CheapPolicy(), DiscTool())


@dataclass(frozen=True, eq=False, slots=True)
class TinySample:
    """See :class:`segagent.datasets.Sample`. The picture is made when it is asked for."""

    sample_id: str
    image_name: str
    text: str
    number: int
    category: str | None = "dot"
    kind: str | None = None

    def load_image(self) -> Image:
        """A few pixels."""
        return Image.of(np.full((24, 32, 3), self.number % 251, np.uint8))

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """A square."""
        del image
        mask = np.zeros((24, 32), np.bool_)
        row, column = self.number % 16, self.number % 23
        mask[row : row + 8, column : column + 8] = True
        return mask, None


@dataclass(frozen=True)
class TinyDataset:
    """See :class:`segagent.datasets.Dataset`: as many objects as wanted, none of them kept in memory."""

    num_images: int
    objects_per_image: int = 10

    @property
    def spec(self) -> str:
        """No specification that could be opened."""
        return f"tiny:{self.num_images}"

    @property
    def fingerprint(self) -> str:
        """Names what is in it."""
        return f"tiny {self.num_images} {self.objects_per_image}"

    def groups(self) -> Iterator[SampleGroup]:
        """The samples, image by image."""
        for image in range(self.num_images):
            yield ListedGroup(f"{image}.png", tuple(self._samples(image)))

    def __iter__(self) -> Iterator[Sample]:
        for image in range(self.num_images):
            yield from self._samples(image)

    def load_image(self, name: str) -> Image:
        """The picture of that name."""
        return next(iter(self._samples(int(name.removesuffix(".png"))))).load_image()

    def mask_of(self, sample_id: str) -> BoolMask:
        """The given mask of an object."""
        return next(sample for sample in self if sample.sample_id == sample_id).load_target()[0]

    def _samples(self, image: int) -> Iterable[Sample]:
        for place in range(self.objects_per_image):
            number = image * self.objects_per_image + place
            yield TinySample(f"{image}-{place}", f"{image}.png", f"the dot number {number}", image)


def write_tiny_folder(folder: Path, num_images: int, per_image: int) -> Path:
    """A data set on disk: manifest.json, small pictures and masks."""
    import json

    samples = []
    for sample in TinyDataset(num_images, per_image):
        assert isinstance(sample, TinySample)
        picture, mask = folder / "images" / sample.image_name, folder / "masks" / f"{sample.sample_id}.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        mask.parent.mkdir(exist_ok=True)
        save_png(picture, sample.load_image().pixels)
        save_png(mask, sample.load_target()[0])
        samples.append(
            {"id": sample.sample_id, "image": f"images/{picture.name}", "mask": f"masks/{mask.name}",
             "text": sample.text, "width": 32, "height": 24}
        )  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps({"samples": samples}), encoding="utf-8")
    return folder
