"""Seeds belong to episodes, so that neither order nor batching changes a result."""

from __future__ import annotations

import hashlib


def episode_seed(seed: int, sample_id: str) -> int:
    """The seed of a sample's episodes: below 2**53, so that any JSON reader keeps it."""
    digest = hashlib.blake2b(f"{seed}/{sample_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 11
