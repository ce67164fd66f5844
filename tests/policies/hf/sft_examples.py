"""A handful of drawn pictures with masks, and what is to be answered on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from segagent.core import Action, Click, Finish, Image, Observation, Undo, decode_rle, encode_rle
from segagent.datasets import Sample, SampleGroup
from segagent.learning.examples import Example
from segagent.learning.sft import TrainingSet
from segagent.policies.chat import FORMATS, format_to_dict

SIZE = 56, 84


class DrawnDataset:
    """Pictures named by a number: a coloured block on a gradient."""

    spec = "drawn"
    fingerprint = "drawn/1"
    num_images = 4

    def __init__(self) -> None:
        self.loads: list[str] = []

    def __iter__(self) -> Iterator[Sample]:
        return iter(())

    def groups(self) -> Iterator[SampleGroup]:
        return iter(())

    def load_image(self, name: str) -> Image:
        self.loads.append(name)
        number = int(name)
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pixels[..., 2] = np.arange(SIZE[1]) * 2
        pixels[10:40, 8 + 12 * number : 32 + 12 * number, 0] = 80 + 50 * number
        return Image.of(pixels)


def example(number: int, action: Action | None, iou: float, text: str) -> Example:
    mask = np.zeros(SIZE, np.bool_)
    mask[5 : 5 + 9 * number, 8:60] = True
    return Example(f"sample{number}", str(number % 4), text, encode_rle(mask), iou, action, "annotator")


EXAMPLES = (
    example(0, Click(20, 30, positive=True), 0.0, "the mug"),
    example(1, Click(61, 7, positive=False), 0.374, "a lamp"),
    example(2, Finish(), 0.95, "the mug"),
    example(3, Undo(), 0.1234, 'the "<image>" trap\n'),
    example(4, None, 0.5, "a lamp"),
)


def training_set(*examples: Example) -> TrainingSet:
    return TrainingSet(DrawnDataset(), examples or EXAMPLES)


def observation_of(example: Example) -> Observation:
    return Observation(DrawnDataset().load_image(example.image), example.text, decode_rle(example.mask))


def short_format(folder: Path) -> str:
    """A format file with a prompt of few words, so that training takes seconds."""
    fmt = replace(FORMATS["paper"], name="short", template="Object: {{object}}")
    path = folder / "short.json"
    path.write_text(json.dumps(format_to_dict(fmt)))
    return str(path)
