"""A sample of a run's masks for a person to check, and the file and pictures to check them with."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segagent.annotation.batch.checked import CHECKED_SCHEMA, mask_digest
from segagent.annotation.batch.folder import Run
from segagent.annotation.batch.records import ObjectRecord
from segagent.core import InputError
from segagent.imaging import draw_overlay, encode_png, write_bytes
from segagent.imaging.writing import made_folder

CHECKED_FILE = "checked.json"


def sample_to_check(run: Run, num: int, seed: int = 0) -> list[str]:
    """The object ids of ``num`` masks of ``run`` (all, if there are fewer), drawn so that they stand for all of them.

    The masks are sorted by predicted IoU and cut into ``num`` parts of equal size (but for one mask), and one is drawn
    of each, so high and low ones are there in the right proportion. They come in random order: who stops halfway has
    still checked a fair sample. The same ``seed`` draws the same again. Masks without a predicted IoU are left out.

    Raises ``InputError`` for ``num`` below 1.
    """
    if num < 1:
        raise InputError(f"the number of masks to check must be at least 1, got {num}")
    masks = [
        (record.predicted_iou, record.object_id)
        for record in run.objects()
        if record.outcome != "not_found" and record.predicted_iou is not None
    ]
    rng = np.random.default_rng(seed)
    # Shuffled before the stable sort: among equal predictions, which part a mask falls in is chance too.
    shuffled = [masks[place] for place in rng.permutation(len(masks))]
    ranked = sorted(shuffled, key=lambda mask: mask[0])
    num = min(num, len(ranked))
    edges = [part * len(ranked) // num for part in range(num + 1)] if num else []
    drawn = [ranked[rng.integers(low, high)][1] for low, high in itertools.pairwise(edges)]
    return [drawn[place] for place in rng.permutation(len(drawn))]


def write_sample(run: Run, object_ids: Sequence[str], folder: str | Path) -> Path:
    """``folder``/checked.json, with an entry to fill in for each mask, and a picture of each; gives the file's path.

    An entry tells nothing that was predicted, so that the person is not led. Raises ``InputError`` where the file is
    there already, the pictures' data set is not, or an object is none of the run's.
    """
    out = Path(folder)
    path = out / CHECKED_FILE
    if path.exists():
        raise InputError(f"{path}: is there already, perhaps filled in; choose another folder")
    wanted = set(object_ids)
    records: dict[str, ObjectRecord] = {
        record.object_id: record for record in run.objects() if record.object_id in wanted
    }
    if missing := wanted - records.keys():
        raise InputError(f"{run.folder}: has no object {min(missing)!r}")
    dataset = run.dataset()
    made_folder(out)
    entries = []
    for number, object_id in enumerate(object_ids, 1):
        record = records[object_id]
        picture = f"{number:04d}.png"
        pixels = dataset.load_image(record.image).pixels
        mask = record.trajectory.mask_at(record.trajectory.returned)
        write_bytes(out / picture, encode_png(draw_overlay(pixels, mask)))
        entry = {"picture": picture, "object_id": object_id, "text": record.text, "mask": mask_digest(record)}
        entries.append({**entry, "verdict": None})
    content = {"schema": CHECKED_SCHEMA, "run": run.folder.name, "checked": entries}
    write_bytes(path, json.dumps(content, indent=1).encode("ascii") + b"\n")
    return path
