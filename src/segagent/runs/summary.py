"""What came of a run, in numbers, in a file beside its journal: what all kinds of runs tell alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segagent.core.failures import Failure
from segagent.imaging.writing import write_bytes

SUMMARY_FILE = "summary.json"
"""In the folder of a run."""

SUMMARY_ENDING = ".summary.json"
"""Of the file beside a journal that does not have a folder to itself, instead of its own ending."""


def summed_up(
    part: str,
    outcomes: Mapping[str, int],
    failures: Iterable[Failure],
    num_images: int,
    num_left: int,
    cost: Mapping[str, float],
) -> dict[str, Any]:
    """The figures that every run has, JSON-ready.

    ``part``: what an image consists of, "sample" or "object". Counts of records by what they are; those that
    ``failed``, each with its image and the reason; ``images`` of the run, and how many of them it has not come to; and
    what all has cost (``seconds``, ``policy_calls``, the amounts of :class:`segagent.core.Usage` ...).
    """
    return {
        "outcomes": dict(sorted(outcomes.items())),
        "failed": [{f"{part}_id": one.sample_id, "image": one.image, "reason": one.reason} for one in failures],
        "images": num_images,
        "images_left": num_left,
        "cost": {name: round(value, 4) for name, value in cost.items()},
    }


def write_summary_file(path: Path, content: Mapping[str, Any], stopped: str) -> None:
    """Write ``content``, and which budget ``stopped`` the session (empty for none); whole or not at all."""
    write_bytes(path, json.dumps({**content, "stopped": stopped}, indent=1).encode("ascii") + b"\n")
