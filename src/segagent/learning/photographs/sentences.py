"""Sentences about photographs as a data set of its own, made or said: to train on, to measure or to calibrate with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segagent.core import InputError
from segagent.imaging import save_png
from segagent.learning.photographs.expressions import PhotoWriter
from segagent.learning.photographs.facts import see_things
from segagent.learning.photographs.said import Said, said_scene
from segagent.learning.photographs.views import Photo, load_photos, whole_view
from segagent.learning.policy.scene_store import ABSENT_TARGET, SIZE, StoredExpression

_STREAM = 0x5E17


@dataclass(frozen=True, slots=True)
class SentenceRules:
    """``per_picture``: at most so many sentences with an object, each about another one. ``absent_share``: for each way
    in which nothing can be meant, the chance per picture of one more. ``held_out``: of the photographs that no training
    uses (ids that are multiples of 10) instead of all others. ``said``: all that people said of the photographs, and
    nothing made.
    """

    per_picture: int = 2
    absent_share: float = 0.0
    held_out: bool = False
    seed: int = 0
    said: Said | None = None


def write_sentences(
    out: Path, folders: Sequence[Path], rules: SentenceRules, progress: Callable[[int], None] | None = None
) -> dict[str, int]:
    """Write sentences about the photographs of COCO-format ``folders`` into the empty folder ``out``.

    ``images/`` (copies), ``masks/*.png`` (255 object) and ``manifest.json``; a sentence about nothing has the mask
    null. Made sentences are made from the annotations, each true of one object alone by a margin as far as these tell.
    Returns how many sentences of each kind. Raises ``InputError`` where a folder is none, or gives no sentence.
    """
    for name in ("images", "masks"):
        (out / name).mkdir(parents=True, exist_ok=True)
    samples: list[dict[str, Any]] = []
    done = 0
    for number, folder in enumerate(folders):
        for place, photo in enumerate(load_photos(folder, validation=rules.held_out)):
            rng = np.random.default_rng((_STREAM, rules.seed, number, place))
            if rules.said is None:
                chosen = _made(photo, rng, rules)
            else:
                chosen = said_scene(photo, rules.said.by_image.get((folder.name, photo.image_id), ()))[1].expressions
            samples += _write_photo(out, f"{folder.name}_{place:05d}", photo, chosen)
            done += 1
            if progress is not None:
                progress(done)
    if not samples:
        told = ", ".join(map(str, folders))
        if rules.said is not None:
            raise InputError(f"nothing was said of what is in {told}: the table names other folders, images or objects")
        raise InputError(f"no sentence can be made about {told}: no object is large enough")
    manifest = {
        "dataset": f"{'made' if rules.said is None else 'said'} sentences about " + ", ".join(f.name for f in folders),
        "generated": rules.said is None,
        "seed": rules.seed,
        "mask_format": "8-bit PNG, 255 object, 0 rest",
        "samples": samples,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    kinds = [sample["kind"] for sample in samples]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _made(photo: Photo, rng: np.random.Generator, rules: SentenceRules) -> Sequence[StoredExpression]:
    view = whole_view(photo, SIZE)
    written = PhotoWriter(rng, see_things(view), view.told).write(4 * rules.per_picture, rules.absent_share)
    about: dict[int, StoredExpression] = {}
    for expression in written:
        if expression.target != ABSENT_TARGET:
            about.setdefault(expression.target, expression)
    return [*about.values()][: rules.per_picture] + [e for e in written if e.target == ABSENT_TARGET]


def _write_photo(out: Path, name: str, photo: Photo, chosen: Sequence[StoredExpression]) -> list[dict[str, Any]]:
    if not chosen:
        return []
    assert photo.path is not None
    image = f"images/{name}{photo.path.suffix}"
    shutil.copyfile(photo.path, out / image)
    view = whole_view(photo, SIZE)
    small = cv2.resize(photo.labels, (SIZE, SIZE), interpolation=cv2.INTER_NEAREST_EXACT)
    samples = []
    for expression in chosen:
        mask = None
        if expression.target != ABSENT_TARGET:
            mask = f"masks/{name}_{expression.target:02d}.png"
            label = int(small[view.labels == expression.target + 1][0])
            save_png(out / mask, photo.labels == label)
        samples.append({"image": image, "mask": mask, "text": expression.text, "kind": expression.kind})
    return samples
