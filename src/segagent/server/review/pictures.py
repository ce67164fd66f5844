"""The run's pictures: by keys that say nothing of paths, decoded once for as long as they are looked at."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TypeVar

import cv2

from segagent.core import Image, InputError
from segagent.datasets import Dataset

NUM_KEPT = 16
"""Pictures that are kept decoded, and as many as files."""
_JPEG_QUALITY = 95

_T = TypeVar("_T")


class Pictures:
    """Pictures of ``dataset``, or why there are none. Safe for threads."""

    def __init__(self, dataset: Dataset | str, names: Iterable[str]) -> None:
        self._dataset = dataset
        fingerprint = "" if isinstance(dataset, str) else dataset.fingerprint
        self.names = {_key(fingerprint, name): name for name in names}
        self.keys = {name: key for key, name in self.names.items()}
        self._lock = threading.Lock()
        self._decoded: OrderedDict[str, Image] = OrderedDict()
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def load(self, name: str) -> Image:
        """The picture of that name in the data set. Raises ``InputError``."""
        if isinstance(self._dataset, str):
            raise InputError(self._dataset)
        dataset = self._dataset
        return self._kept(self._decoded, name, lambda: dataset.load_image(name))

    def file(self, name: str) -> bytes:
        """The picture as a JPEG file, for a person's eyes. Raises ``InputError``."""

        def encode() -> bytes:
            pixels = cv2.cvtColor(self.load(name).pixels, cv2.COLOR_RGB2BGR)
            settings = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
            settings += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
            done, content = cv2.imencode(".jpg", pixels, settings)
            if not done:
                raise InputError(f"image {name}: cannot be written as JPEG")
            return bytes(content)

        return self._kept(self._files, name, encode)

    def _kept(self, kept: OrderedDict[str, _T], name: str, make: Callable[[], _T]) -> _T:
        with self._lock:
            found = kept.get(name)
        if found is None:
            found = make()
        with self._lock:
            kept[name] = found
            kept.move_to_end(name)
            while len(kept) > NUM_KEPT:
                kept.popitem(last=False)
        return found


def _key(fingerprint: str, name: str) -> str:
    # Of the data set too: a browser keeps pictures by their address, and the next run on this port has others.
    return hashlib.blake2b(f"{fingerprint}\n{name}".encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
