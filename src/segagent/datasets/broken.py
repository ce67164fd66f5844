"""Entries that cannot be used, as samples that say so: a batch goes on with the others and records what was wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segagent.core import BoolMask, Image, InputError

UNREADABLE = "(unreadable)"
"""The sentence of a :class:`BrokenSample`."""


@dataclass(frozen=True, slots=True)
class BrokenSample:
    """An entry whose annotation cannot be used. See :class:`segagent.datasets.Sample`.

    ``reason`` names file and entry. ``picture`` loads the image, which other samples may share; None: it is not known.
    """

    sample_id: str
    image_name: str
    reason: str
    picture: Callable[[], Image] | None = None
    text: str = UNREADABLE
    category: str | None = None
    kind: str | None = None

    def load_image(self) -> Image:
        """The decoded picture. Raises ``InputError`` naming its file, or saying why there is none."""
        if self.picture is None:
            raise InputError(self.reason)
        return self.picture()

    def load_target(self, image: Image | None = None) -> tuple[BoolMask, BoolMask | None]:
        """Raises ``InputError`` with the reason, always."""
        del image
        raise InputError(self.reason)
