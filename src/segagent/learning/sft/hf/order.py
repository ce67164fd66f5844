"""In which order a training reads its examples: computed where it is wanted, so that it takes no memory per example."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from segagent.core import InputError
from segagent.learning.sft.data import TrainingSet
from segagent.learning.sft.streamed import StreamedExamples

Numbers = NDArray[np.int64]

_WINDOW = 1024
"""Examples that are shuffled among each other."""


class Epochs:
    """Some training sets again and again, each example once an epoch: position by position, (set, place in it).

    Each epoch goes through the pictures in an order of its own, and shuffles :data:`_WINDOW` examples at a time, so
    that a picture is decoded about once an epoch while neighbours in a batch differ.
    """

    def __init__(self, sets: Sequence[TrainingSet], numbers: Sequence[int], seed: Sequence[int]) -> None:
        self._numbers = np.array(numbers, np.int64)
        self._ends = np.cumsum([len(sets[number].examples) for number in numbers], dtype=np.int64)
        found = [_pictures(sets[number]) for number in numbers]
        starts = self._ends - [len(sets[number].examples) for number in numbers]
        self._places = [places for places, _ in found]
        self._begin = np.concatenate([start + begin[:-1] for start, (_, begin) in zip(starts, found, strict=True)])
        self._count = np.concatenate([np.diff(begin) for _, begin in found])
        self._starts, self._seed = starts, tuple(seed)
        self._window = lru_cache(4)(self._made)
        self._permuted = lru_cache(2)(self._permutation)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def at(self, position: int) -> tuple[int, int]:
        """Which set, and which of its examples, comes at ``position``, however many epochs on."""
        epoch, place = divmod(position, len(self))
        number = int(self._window(epoch, place // _WINDOW)[place % _WINDOW])
        which = int(np.searchsorted(self._ends, number, side="right"))
        index = number - int(self._starts[which])
        places = self._places[which]
        return int(self._numbers[which]), index if places is None else int(places[index])

    def _permutation(self, epoch: int) -> tuple[Numbers, Numbers]:
        """The pictures in the order of an epoch, and where the examples of each end."""
        chosen = np.random.default_rng([*self._seed, epoch]).permutation(len(self._begin))
        return chosen, np.cumsum(self._count[chosen])

    def _made(self, epoch: int, window: int) -> Numbers:
        chosen, ends = self._permuted(epoch)
        low, high = window * _WINDOW, min((window + 1) * _WINDOW, len(self))
        first, last = int(np.searchsorted(ends, low, side="right")), int(np.searchsorted(ends, high, side="left"))
        pictures = chosen[first : last + 1]
        every = [np.arange(self._begin[one], self._begin[one] + self._count[one]) for one in pictures]
        before = int(ends[first - 1]) if first else 0
        numbers = np.concatenate(every)[low - before : high - before]
        np.random.default_rng([*self._seed, epoch, window]).shuffle(numbers)
        return numbers


class Order:
    """The whole training: ``length`` positions, each a (training set, place in it).

    Sets without weights are one: each example once an epoch, the last one cut off. With weights each set goes its own
    way, again and again, and of every :data:`_WINDOW` positions has its share, in an order drawn for them.
    """

    def __init__(self, sets: Sequence[TrainingSet], length: int, seed: int) -> None:
        self._length, self._seed = length, seed
        weights = [one.weight for one in sets]
        if all(weight is None for weight in weights):
            self._ways, self._shares = [Epochs(sets, range(len(sets)), [seed])], np.ones(1)
        else:
            if any(weight is None or not weight > 0 for weight in weights):
                raise InputError(f"weights {weights}: expected one above 0 for each file of examples")
            self._ways = [Epochs(sets, [number], [seed, 1, number]) for number in range(len(sets))]
            given = np.array(weights, np.float64)
            self._shares = np.cumsum(given / given.sum())
            if (given / given.sum()).min() * _WINDOW < 1:
                raise InputError(f"weights {weights}: the smallest must be at least a {_WINDOW}th of their sum")
        self._block = lru_cache(2)(self._mixed)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> tuple[int, int]:
        if not 0 <= position < self._length:
            raise IndexError(position)
        if len(self._ways) == 1:
            return self._ways[0].at(position)
        way, own = self._block(position // _WINDOW)
        place = position % _WINDOW
        return self._ways[int(way[place])].at(int(own[place]))

    def tolist(self) -> list[list[int]]:
        """All positions, for tests."""
        return [list(self[position]) for position in range(len(self))]

    def _mixed(self, block: int) -> tuple[Numbers, Numbers]:
        """Which set each position of a block belongs to, and how many of that set come before it."""
        before, after = (self._taken(bound * _WINDOW) for bound in (block, block + 1))
        ways = np.repeat(np.arange(len(self._ways)), after - before)
        np.random.default_rng([self._seed, 2, block]).shuffle(ways)
        own = np.empty_like(ways)
        for way in range(len(self._ways)):
            mine = ways == way
            own[mine] = before[way] + np.arange(int(mine.sum()))
        return ways, own

    def _taken(self, positions: int) -> Numbers:
        """How many of the first ``positions`` belong to each set: sums to all of them, and never falls."""
        bounds = np.floor(positions * self._shares + 1e-9).astype(np.int64)
        bounds[-1] = positions
        return np.diff(bounds, prepend=0)


def _pictures(one: TrainingSet) -> tuple[Numbers | None, Numbers]:
    """The examples of a set picture by picture (None: as they are), and where those of each begin, the end included."""
    if isinstance(one.examples, StreamedExamples):  # In a journal the examples of a picture are together.
        rows = one.examples.rows
        new = np.flatnonzero(np.diff(rows["unit"], prepend=-1) != 0)
        return None, np.append(rows["first"][new], len(one.examples)).astype(np.int64)
    by_picture: dict[str, list[int]] = {}
    for index, example in enumerate(one.examples):
        by_picture.setdefault(example.image, []).append(index)
    places = np.array([index for found in by_picture.values() for index in found], np.int64)
    return places, np.append(0, np.cumsum([len(found) for found in by_picture.values()])).astype(np.int64)


def training_order(sets: Sequence[TrainingSet], length: int, seed: int) -> Order:
    """``length`` positions of a training on ``sets``: epoch after epoch, or by weights; see :class:`Order`."""
    return Order(sets, length, seed)
