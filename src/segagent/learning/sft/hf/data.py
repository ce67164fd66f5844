"""The whole training as one sequence of examples, read and encoded when their turn comes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from segagent.core import InputError
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.hf.encoding import Encoder
from segagent.learning.sft.hf.order import Order
from segagent.learning.sft.pictures import KeptPictures
from segagent.learning.sft.streamed import StreamedExamples

_PICTURES_KEPT = 128


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
        which, index = self._order[position]
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
    found: set[tuple[int, int]] = set()
    shortest: tuple[int, tuple[int, int]] | None = None
    for which, one in enumerate(sets):
        for index, length in _lengths(one, encoder, max_length):
            if shortest is None or length < shortest[0]:
                shortest = length, (which, index)
            if length > max_length:
                found.add((which, index))
    total = sum(len(one.examples) for one in sets)
    if shortest is None or shortest[0] > max_length:
        raise InputError(
            f"all {total} examples are longer than max_length {max_length}, the shortest has "
            f"{shortest[0] if shortest else 0} tokens; raise max_length in the recipe"
        )
    return LeftOut(frozenset(found), shortest[1])


def _lengths(one: TrainingSet, encoder: Encoder, max_length: int) -> Iterator[tuple[int, int]]:
    """The number and tokens of examples; of a file, those that might be too long and the first that is not."""
    if not isinstance(one.examples, StreamedExamples):
        yield from ((index, encoder.length(example)) for index, example in enumerate(one.examples))
        return
    rows = one.examples.rows
    packed = rows["size"].astype(np.int64) @ [1 << 32, 1]  # (height, width) as one number: pairs take long to sort.
    sizes, which = np.unique(packed, return_inverse=True)
    around = np.array([encoder.most_around(divmod(int(size), 1 << 32)) for size in sizes], np.int64)
    most = around[which] + rows["words"]
    doubtful = np.flatnonzero(most > max_length)
    surely = np.flatnonzero(most <= max_length)[:1]
    for row in (*surely, *doubtful):
        first = int(rows[row]["first"])
        for place, example in enumerate(one.examples.of_row(int(row))):
            yield first + place, encoder.length(example)


def data_fingerprint(sets: Sequence[TrainingSet]) -> str:
    """Changes when what is taught changes."""
    digest = hashlib.blake2b(digest_size=16)
    for one in sets:
        digest.update(f"set {one.dataset.fingerprint}\n".encode())
        if one.weight is not None:
            digest.update(f"weight {one.weight}\n".encode())
        if isinstance(one.examples, StreamedExamples):
            digest.update(f"file {one.examples.digest} {len(one.examples)}\n".encode())
            continue
        for e in one.examples:
            line = repr((e.sample_id, e.image, e.text, dict(e.mask), e.current_iou, e.action))
            line += "" if e.asks == "action" else e.asks
            digest.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
