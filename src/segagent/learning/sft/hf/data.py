"""The whole training as one sequence of examples, read and encoded when their turn comes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from segagent.core import InputError
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.hf.encoding import Encoder
from segagent.learning.sft.pictures import KeptPictures

Order = NDArray[np.int64]
"""(positions, 2): which training set, and which of its examples, comes at each position."""

_PICTURES_KEPT = 128
_WINDOW = 1024
"""Examples that are shuffled among each other."""


class EncodedExamples(TorchDataset[dict[str, Tensor]]):
    """Position by position what a training reads; ``order`` holds all its epochs.

    Examples of ``left_out`` keep their positions and teach nothing there, so that the order depends on the examples
    alone.
    """

    def __init__(self, sets: Sequence[TrainingSet], order: Order, encoder: Encoder, left_out: LeftOut) -> None:
        self._sets = sets
        self._left_out = left_out
        self._order = order
        self._encoder = encoder
        self._pictures = KeptPictures([one.dataset for one in sets], _PICTURES_KEPT)

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, position: int) -> dict[str, Tensor]:
        which, index = (int(number) for number in self._order[position])
        taught = (which, index) not in self._left_out.places
        which, index = (which, index) if taught else self._left_out.stand_in
        example = self._sets[which].examples[index]
        encode = self._encoder if taught else self._encoder.without_reply
        return encode(example, self._pictures.get(which, example.image))


class LeftOut(NamedTuple):
    """Examples that are too long, by (training set, place in it), and a short one to stand in their places."""

    places: frozenset[tuple[int, int]]
    stand_in: tuple[int, int]


def too_long(sets: Sequence[TrainingSet], encoder: Encoder, max_length: int) -> LeftOut:
    """The examples of ``sets`` that are longer than ``encoder`` takes, ``max_length`` tokens.

    Raises ``InputError`` where all are.
    """
    lengths = {(w, i): encoder.length(e) for w, one in enumerate(sets) for i, e in enumerate(one.examples)}
    stand_in = min(lengths, key=lambda place: lengths[place])
    if lengths[stand_in] > max_length:
        raise InputError(
            f"all {len(lengths)} examples are longer than max_length {max_length}, the shortest has "
            f"{lengths[stand_in]} tokens; raise max_length in the recipe"
        )
    return LeftOut(frozenset(place for place, length in lengths.items() if length > max_length), stand_in)


def training_order(sets: Sequence[TrainingSet], length: int, seed: int) -> Order:
    """``length`` positions: epoch after epoch, each example once in each, the last one cut off.

    Each epoch goes through the pictures in an order of its own, and shuffles the examples of some pictures at a time,
    so that a picture is decoded about once an epoch while neighbours in a batch differ.
    """
    by_picture: dict[tuple[int, str], list[tuple[int, int]]] = {}
    for which, one in enumerate(sets):
        for index, example in enumerate(one.examples):
            by_picture.setdefault((which, example.image), []).append((which, index))
    pictures = [np.array(places, np.int64) for places in by_picture.values()]
    epochs: list[Order] = []
    filled = 0
    while filled < length:
        generator = np.random.default_rng([seed, len(epochs)])
        epoch = np.concatenate([pictures[chosen] for chosen in generator.permutation(len(pictures))])
        for start in range(0, len(epoch), _WINDOW):
            generator.shuffle(epoch[start : start + _WINDOW])
        epochs.append(epoch)
        filled += len(epoch)
    return np.concatenate(epochs)[:length]


def data_fingerprint(sets: Sequence[TrainingSet]) -> str:
    """Changes when what is taught changes."""
    digest = hashlib.blake2b(digest_size=16)
    for one in sets:
        digest.update(f"set {one.dataset.fingerprint}\n".encode())
        for e in one.examples:
            line = repr((e.sample_id, e.image, e.text, dict(e.mask), e.current_iou, e.action))
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
