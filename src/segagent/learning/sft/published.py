"""Trajectories of the published SegAgent project as a file of ours, to be learnt from like any other."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from segagent.core import InputError
from segagent.datasets.published_set import published_set
from segagent.environment import GenerationConfig
from segagent.runs.journal import Journal

_BEGINNING = re.compile(rb'\s*\{\s*"data"\s*:')


def is_published(path: Path) -> bool:
    """Whether a file begins as trajectory files of the published project do. Raises ``InputError`` if unreadable."""
    try:
        with path.open("rb") as file:
            return _BEGINNING.match(file.read(256)) is not None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def write_published_as_trajectories(path: Path, images: Path, out: Path) -> None:
    """Write the episodes of ``path``, whose pictures lie below ``images``, as ``segagent trajectories`` does, anew.

    The rewards come from its masks. An episode ended because the mask was good enough where its last IoU has reached
    ``tau_stop`` as we generate with; the file itself does not tell why one ended. Raises ``InputError`` naming the
    entry that is damaged.
    """
    dataset, episodes = published_set(path, images)
    rules = GenerationConfig()
    config: dict[str, Any] = {
        "what": "trajectories",
        "dataset": dataset.fingerprint,
        "tool": "published",
        "starts": ["empty"],
    }
    config |= {"tau_stop": rules.tau_stop, "tau_diff": rules.tau_diff}
    out.unlink(missing_ok=True)
    with Journal(out, config, {"dataset": dataset.spec, "num_images": dataset.num_images}) as journal:
        for unit, group in enumerate(dataset.groups()):
            records = []
            for sample in group.samples():
                made = episodes[sample.sample_id].trajectory
                last = made.reward_at(len(made.steps))
                stopped = "tau_stop" if last is not None and last >= rules.tau_stop else made.stopped
                records.append(replace(made, image=sample.image_name, stopped=stopped).to_dict())
            journal.append(unit, records)
