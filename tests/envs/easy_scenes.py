"""Scenes that a model of a few thousand weights can learn: a red disc, always in the same of nine places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segagent.core import BoolMask, Image, InputError
from segagent.datasets import SampleGroup
from segagent.datasets.sample import grouped

SIDE = 84
PLACES = tuple((x, y) for y in (14, 42, 70) for x in (14, 42, 70))
"""(x, y) of the nine places, in pixels."""
RIGHT = PLACES[5]
"""Where the disc is; a click of the tool ``disc`` there makes the very mask."""


@dataclass(frozen=True, slots=True)
class EasySample:
    """One of the pictures, by its number."""

    image_name: str
    text: str = "the red disc"
    category: str | None = None
    kind: str | None = None

    @property
    def sample_id(self) -> str:
        return f"easy{self.image_name}"

    def load_image(self) -> Image:
        if not self.image_name.isdecimal():
            raise InputError(f"no picture {self.image_name!r}")
        pixels = np.full((SIDE, SIDE, 3), 60 + 30 * int(self.image_name), np.uint8)
        pixels[self.load_target()[0]] = (200, 30, 30)
        return Image.of(pixels)

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, None]:
        rows, columns = np.ogrid[:SIDE, :SIDE]
        return (columns - RIGHT[0]) ** 2 + (rows - RIGHT[1]) ** 2 <= (SIDE / 10) ** 2, None


class EasyScenes:
    """``number`` pictures, on grounds of different greys."""

    fingerprint = "easy/1"

    def __init__(self, number: str = "4") -> None:
        self.spec = f"python:easy_scenes:EasyScenes:number={number}"
        self.num_images = int(number)

    def __iter__(self) -> Iterator[EasySample]:
        return (EasySample(str(number)) for number in range(self.num_images))

    def groups(self) -> Iterator[SampleGroup]:
        return iter(grouped(self))

    def load_image(self, name: str) -> Image:
        return EasySample(name).load_image()
