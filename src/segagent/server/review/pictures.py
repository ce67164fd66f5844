"""The run's pictures: by keys that say nothing of paths, decoded once for as long as they are looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import cv2

from segagent.core import Image, InputError
from segagent.core.recent import Recent
from segagent.datasets import Dataset

MAX_BYTES = 256 << 20
"""So much of decoded pictures is kept, and a quarter of that of files."""
_JPEG_QUALITY = 95


class Pictures:
    """Pictures of ``dataset``, or why there are none. Safe for threads."""

    def __init__(self, dataset: Dataset | str, names: Iterable[str], sizes: Mapping[str, tuple[int, int]]) -> None:
        """``sizes``: height and width that pictures had when the run was made, by name."""
        self._dataset, self._sizes = dataset, sizes
        fingerprint = "" if isinstance(dataset, str) else dataset.fingerprint
        self.names = {_key(fingerprint, name): name for name in names}
        self.keys = {name: key for key, name in self.names.items()}
        self._decoded: Recent[str, Image] = Recent(MAX_BYTES, lambda image: image.pixels.nbytes)
        self._files: Recent[str, bytes] = Recent(MAX_BYTES // 4, len)

    def load(self, name: str) -> Image:
        """The picture of that name in the data set. Raises ``InputError``."""
        if isinstance(self._dataset, str):
            raise InputError(self._dataset)
        dataset = self._dataset
        image = self._decoded.made(name, lambda: dataset.load_image(name))
        height, width = self._sizes.get(name, (image.height, image.width))
        if (image.height, image.width) != (height, width):
            raise InputError(
                f"image {name}: has {image.width} x {image.height} pixels now, had {width} x {height} when the run was "
                "made; give the run the picture that it was made of"
            )
        return image

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

        return self._files.made(name, encode)


def _key(fingerprint: str, name: str) -> str:
    # Of the data set too: a browser keeps pictures by their address, and the next run on this port has others.
    return hashlib.blake2b(f"{fingerprint}\n{name}".encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
