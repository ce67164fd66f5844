"""Masks whose true IoU is known beside what was predicted of them: what a calibration is made of, kept with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_PAIRS = 1000


@dataclass(frozen=True, slots=True)
class Evidence:
    """Equally long: ``predicted`` and ``true`` IoU of masks, in [0, 1], and a number for the ``image`` of each.

    ``final`` marks the masks that an episode would have ended with: what a person gets. The others are states on the
    way, which every episode passes through.
    """

    predicted: tuple[float, ...]
    true: tuple[float, ...]
    image: tuple[int, ...]
    final: tuple[bool, ...]

    def __post_init__(self) -> None:
        lengths = {len(self.predicted), len(self.true), len(self.image), len(self.final)}
        if len(lengths) != 1:
            raise ValueError("evidence needs a predicted IoU, a true IoU, an image and a mark for each mask")
        if not all(0 <= value <= 1 for value in (*self.predicted, *self.true)):
            raise ValueError("evidence holds a value that is no IoU; expected 0..1")

    def __len__(self) -> int:
        return len(self.predicted)

    @staticmethod
    def of(predicted: Sequence[float], true: Sequence[float], images: Sequence[str], final: Sequence[bool]) -> Evidence:
        """Evidence with the images told by their names. Raises ``ValueError`` where it does not fit together."""
        _, numbers = np.unique(np.array(list(images), np.str_), return_inverse=True)
        return Evidence(tuple(predicted), tuple(true), tuple(map(int, numbers)), tuple(map(bool, final)))

    def only_final(self) -> Evidence:
        """The masks that episodes ended with."""
        return self._rows([row for row, final in enumerate(self.final) if final])

    def thinned(self, max_pairs: int = MAX_PAIRS, seed: int = 0) -> Evidence:
        """At most ``max_pairs`` of the masks, drawn at random but the same at every call, final ones first."""
        if len(self) <= max_pairs:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        final = np.array(self.final)[order]
        drawn = np.concatenate([order[final], order[~final]])[:max_pairs]
        return self._rows(sorted(map(int, drawn)))

    def _rows(self, rows: Sequence[int]) -> Evidence:
        return Evidence(
            tuple(self.predicted[row] for row in rows),
            tuple(self.true[row] for row in rows),
            tuple(self.image[row] for row in rows),
            tuple(self.final[row] for row in rows),
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON form, IoU to a millionth."""
        return {
            "predicted": [round(value, 6) for value in self.predicted],
            "true": [round(value, 6) for value in self.true],
            "image": list(self.image),
            "final": [int(value) for value in self.final],
        }

    @staticmethod
    def from_dict(data: Any) -> Evidence:
        """Inverse of :meth:`to_dict`. Raises ``ValueError`` for what is no evidence."""
        try:
            return Evidence(
                tuple(float(value) for value in data["predicted"]),
                tuple(float(value) for value in data["true"]),
                tuple(int(value) for value in data["image"]),
                tuple(bool(value) for value in data["final"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"the evidence is damaged: {type(error).__name__} {error}") from error
