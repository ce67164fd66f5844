"""Views of photographs as stored scenes: drawn once, in the same shards as generated scenes, and read many times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.learning.photographs.expressions import PhotoWriter
from segagent.learning.photographs.facts import see_things
from segagent.learning.photographs.views import CutOuts, Photo, load_photos, random_view, whole_view
from segagent.learning.policy.scene_store import SHARD, SIZE, SceneStore, StoredScene, save_shard

PHOTO_SPLIT = "photo"
"""What the shards of photographs are called, in place of a scene's split."""
Purpose = Literal["train", "validation"]
_STREAM = 0x9407
_ABSENT_SHARE = 0.6
_SENTENCES = 8


def draw_photographs(out: Path, folder: Path, purpose: Purpose, count: int, first: int = 0) -> SceneStore:
    """At least ``count`` views on disk in ``out``, of the training photographs of the COCO-format ``folder``.

    For the ``validation`` purpose: of the held-out photographs, each whole, ``count`` of them at most.
    """
    photos = load_photos(folder, validation=purpose == "validation")
    cut_outs = CutOuts(photos)
    if purpose == "validation":
        count = min(count, len(photos))
    for start in range(first, first + count, SHARD):
        numbers = range(start, min(start + SHARD, first + count))
        if purpose == "validation":
            save_shard(out, PHOTO_SPLIT, start, (_validation_scene(photos, n) for n in numbers))
        else:
            save_shard(out, PHOTO_SPLIT, start, (_training_scene(photos, cut_outs, n) for n in numbers))
    return SceneStore(out, PHOTO_SPLIT)


def _validation_scene(photos: Sequence[Photo], number: int) -> StoredScene:
    rng = np.random.default_rng((_STREAM, 1, number))
    return _scene(rng, number, whole_view(photos[number], SIZE), sentences=3 * _SENTENCES)


def _training_scene(photos: Sequence[Photo], cut_outs: CutOuts, number: int) -> StoredScene:
    """Half of them views of photographs, a quarter such with cut-outs, a quarter generated scenes with cut-outs."""
    rng = np.random.default_rng((_STREAM, 0, number))
    while True:
        view = random_view(rng, photos[number % len(photos)], SIZE)
        kind = rng.random()
        if kind > 0.75:
            scene = generate_scene(scene_rng("train", 2, number), SceneConfig(size=SIZE))
            labels = np.zeros((SIZE, SIZE), np.uint8)
            for thing in scene.objects:
                labels[thing.mask] = thing.index + 1
            view = Photo(scene.image, labels, tuple((o.category, o.color, o.pattern, o.size) for o in scene.objects))
        if kind > 0.5:
            view = cut_outs.paste(rng, view)
        if view.names:
            return _scene(rng, number, view, sentences=_SENTENCES)


def _scene(rng: np.random.Generator, number: int, view: Photo, sentences: int) -> StoredScene:
    things = see_things(view)
    names = tuple((t.fact.category, t.fact.color, t.fact.pattern, t.fact.size) for t in things)
    written = PhotoWriter(rng, things).write(sentences, _ABSENT_SHARE)
    return StoredScene(PHOTO_SPLIT, number, view.pixels, view.labels, names, written)
