"""The pictures of training sets, the last few kept decoded."""

from __future__ import annotations

from collections.abc import Sequence

from segagent.core import Image
from segagent.core.recent import Recent
from segagent.datasets import Dataset


class KeptPictures:
    """Decoded pictures by data set and name; the ``limit`` used last stay in memory."""

    def __init__(self, datasets: Sequence[Dataset], limit: int) -> None:
        self._datasets = datasets
        self._kept: Recent[tuple[int, str], Image] = Recent(limit)

    def get(self, which: int, name: str) -> Image:
        """The picture ``name`` of data set number ``which``. Raises ``InputError`` naming the file."""
        return self._kept.made((which, name), lambda: self._datasets[which].load_image(name))
