"""The pictures of training sets, the last few kept decoded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from segagent.core import Image
from segagent.datasets import Dataset


class KeptPictures:
    """Decoded pictures by data set and name; the ``limit`` used last stay in memory."""

    def __init__(self, datasets: Sequence[Dataset], limit: int) -> None:
        self._datasets = datasets
        self._limit = limit
        self._kept: OrderedDict[tuple[int, str], Image] = OrderedDict()

    def get(self, which: int, name: str) -> Image:
        """The picture ``name`` of data set number ``which``. Raises ``InputError`` naming the file."""
        key = which, name
        if key in self._kept:
            self._kept.move_to_end(key)
        else:
            self._kept[key] = self._datasets[which].load_image(name)
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return self._kept[key]
