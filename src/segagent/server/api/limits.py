"""How much requests may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_body``: bytes of one request. ``max_pixels``: of a picture. ``pictures``: bytes of all decoded pictures
    that are kept. ``waiting``: requests that are worked on or wait at one time. ``seconds``: until one is answered.
    """

    max_body: int = 32 << 20
    max_pixels: int = 16_000_000
    pictures: int = 512 << 20
    waiting: int = 64
    seconds: float = 120.0
