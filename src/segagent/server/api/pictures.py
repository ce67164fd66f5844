"""Pictures that clients have sent, kept by what is in them: the ones used last, as many as fit."""

from __future__ import annotations

import hashlib

from segagent.core import Image, InputError, SegAgentError
from segagent.core.recent import Recent
from segagent.imaging import load_image

KINDS = ("image/png", "image/jpeg", "image/webp")


class PictureGoneError(SegAgentError):
    """No picture of that name is kept; clients send it again."""


class UnknownKindError(InputError):
    """A file that is no PNG, JPEG or WebP."""


class Pictures:
    """See the module. Safe to use from several threads.

    Args:
        most_bytes: what all decoded pictures together may take.
        max_pixels: of one picture.
    """

    def __init__(self, most_bytes: int, max_pixels: int) -> None:
        self._kept: Recent[str, Image] = Recent(most_bytes, lambda image: image.pixels.nbytes)
        self._most_bytes, self._max_pixels = most_bytes, max_pixels

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def num_bytes(self) -> int:
        """What is kept now."""
        return self._kept.total

    def take(self, content: bytes) -> tuple[str, Image]:
        """The name and the picture of a PNG, JPEG or WebP file: the SHA-256 of ``content``, in hexadecimal digits.

        It is decoded only where it is not kept. Raises ``UnknownKindError`` for other files and ``InputError`` for one
        that is damaged or too large.
        """
        if not _is_known_kind(content):
            raise UnknownKindError("not a PNG, JPEG or WebP file; send the file as it is on the disk")
        name = hashlib.sha256(content).hexdigest()
        found = self._kept.get(name)
        if found is None:
            # What is decoded must also fit, or it would be gone as soon as its name is told.
            found = load_image("sent", max_pixels=min(self._max_pixels, self._most_bytes // 3), content=content)
            self._kept.put(name, found)
        return name, found

    def get(self, name: str) -> Image:
        """The picture of that name. Raises ``PictureGoneError``."""
        found = self._kept.get(name)
        if found is None:
            raise PictureGoneError("no such picture is kept; send it again to /v1/pictures")
        return found


def _is_known_kind(content: bytes) -> bool:
    return content.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) or (
        content[:4] == b"RIFF" and content[8:12] == b"WEBP"
    )
