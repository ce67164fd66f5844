"""What a server may read and write besides what its requests bring: nothing that is not named on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Files:
    """``root``: the folder below which files that requests name are read. ``studio``, ``key``: the address of Label
    Studio, and an access token of its, for the pictures of its tasks; ``hosts``: other servers that these may be on.
    ``corrections``: the folder that keeps what people submit in Label Studio. ``runs``: the folder of runs over data
    sets.
    """

    root: Path | None = None
    studio: str | None = None
    key: str | None = None
    hosts: tuple[str, ...] = ()
    corrections: Path | None = None
    runs: Path | None = None
