"""Views of photographs as stored scenes: drawn once, in the same shards as generated scenes, and read many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from segagent.core import Image
from segagent.datasets.scenes import SceneConfig, generate_scene, scene_rng
from segagent.learning.photographs.expressions import PhotoWriter
from segagent.learning.photographs.facts import Thing, see_things
from segagent.learning.photographs.said import Said, said_scene
from segagent.learning.photographs.views import (
    CutOuts,
    Names,
    Photo,
    load_photos,
    mirrored_photo,
    random_view,
    whole_view,
)
from segagent.learning.photographs.words import COCO_NOUNS
from segagent.learning.policy.scene_store import SHARD, SIZE, SceneStore, StoredScene, save_shard
from segagent.learning.policy.train_objects import AnnotatedPicture

PHOTO_SPLIT = "photo"
"""What the shards of photographs are called, in place of a scene's split."""
Purpose = Literal["train", "validation"]
_STREAM = 0x9407
_ABSENT_SHARE = 0.6
_SENTENCES = 8


class PhotoSets:
    """COCO-format folders of photographs, loaded when first drawn from.

    Sets are drawn in proportion to the square root of their number of things times that of kinds of things: few
    photographs of everything teach more than many of one thing each.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    @cached_property
    def training_of(self) -> dict[str, list[Photo]]:
        """The training photographs by the name of their folder."""
        return {folder.name: load_photos(folder, validation=False) for folder in self._folders}

    @cached_property
    def held_out_of(self) -> dict[str, list[Photo]]:
        """The photographs kept for validation by the name of their folder."""
        return {folder.name: load_photos(folder, validation=True) for folder in self._folders}

    @cached_property
    def training(self) -> list[list[Photo]]:
        """The training photographs of each folder that has any."""
        return [photos for photos in self.training_of.values() if photos]

    @cached_property
    def cut_outs(self) -> CutOuts:
        """All things of the training photographs."""
        return CutOuts([photo for photos in self.training for photo in photos])

    @cached_property
    def shares(self) -> npt.NDArray[np.float64]:
        """How likely each set is drawn from."""
        roots = np.sqrt([_things(photos) * _kinds(photos) for photos in self.training])
        return np.asarray(roots / roots.sum(), np.float64)

    @cached_property
    def held_out(self) -> list[Photo]:
        """The photographs kept for validation, of all folders."""
        return [photo for photos in self.held_out_of.values() for photo in photos]

    def said(self, said: Said, purpose: Purpose) -> Iterator[tuple[Image, StoredScene]]:
        """The training or held-out photographs that something is ``said`` of; see :func:`said_scene`."""
        for name, photos in (self.training_of if purpose == "train" else self.held_out_of).items():
            for photo in photos:
                expressions = said.by_image.get((name, photo.image_id))
                if expressions and (found := said_scene(photo, expressions))[1].expressions:
                    yield found

    def photo(self, rng: np.random.Generator) -> Photo:
        """A random training photograph."""
        photos = self.training[int(rng.choice(len(self.training), p=self.shares))]
        return photos[int(rng.integers(len(photos)))]

    def pictures(self, rng: np.random.Generator, num: int) -> Iterator[AnnotatedPicture]:
        """``num`` random training photographs, half of them mirrored."""
        for _ in range(num):
            photo = self.photo(rng)
            if rng.random() < 0.5:
                photo = mirrored_photo(photo)
            yield annotated(photo)


def _things(photos: Sequence[Photo]) -> int:
    return sum(len(photo.names) for photo in photos)


def _kinds(photos: Sequence[Photo]) -> int:
    return len({names[0] for photo in photos for names in photo.names})


def annotated(photo: Photo) -> AnnotatedPicture:
    """A photograph at its own size, with what is known or measured of its things."""
    view = whole_view(photo, SIZE)
    return AnnotatedPicture(Image.of(photo.pixels), view.labels, _names(see_things(view)))


def draw_photographs(out: Path, sets: PhotoSets, purpose: Purpose, count: int, first: int = 0) -> SceneStore:
    """At least ``count`` views on disk in ``out``, of the training photographs of ``sets``.

    For the ``validation`` purpose: of the held-out photographs, each whole, ``count`` of them at most.
    """
    if purpose == "validation":
        count = min(count, len(sets.held_out))
    for start in range(first, first + count, SHARD):
        numbers = range(start, min(start + SHARD, first + count))
        if purpose == "validation":
            save_shard(out, PHOTO_SPLIT, start, (_validation_scene(sets.held_out, n) for n in numbers))
        else:
            save_shard(out, PHOTO_SPLIT, start, (_training_scene(sets, n) for n in numbers))
    return SceneStore(out, PHOTO_SPLIT)


def held_out(sets: PhotoSets) -> Iterator[tuple[Image, StoredScene]]:
    """The photographs kept for validation, each at its own size and as a scene."""
    for number, photo in enumerate(sets.held_out):
        yield Image.of(photo.pixels), _validation_scene(sets.held_out, number)


def _validation_scene(photos: Sequence[Photo], number: int) -> StoredScene:
    rng = np.random.default_rng((_STREAM, 1, number))
    return scene_of(rng, photos[number], number, sentences=3 * _SENTENCES)


def scene_of(rng: np.random.Generator, photo: Photo, number: int, sentences: int) -> StoredScene:
    """A whole photograph as a scene, with at most so many sentences and perhaps one about what is not there."""
    return _scene(rng, number, whole_view(photo, SIZE), sentences)


def _training_scene(sets: PhotoSets, number: int) -> StoredScene:
    """Half of them views of photographs, a quarter such with cut-outs, a quarter generated scenes with cut-outs."""
    rng = np.random.default_rng((_STREAM, 0, number))
    while True:
        view = random_view(rng, sets.photo(rng), SIZE)
        kind = rng.random()
        if kind > 0.75:
            scene = generate_scene(scene_rng("train", 2, number), SceneConfig(size=SIZE))
            labels = np.zeros((SIZE, SIZE), np.uint8)
            for thing in scene.objects:
                labels[thing.mask] = thing.index + 1
            names = tuple((o.category, o.color, o.pattern, o.size) for o in scene.objects)
            view = Photo(scene.image, labels, names, frozenset(COCO_NOUNS))
        if kind > 0.5:
            view = sets.cut_outs.paste(rng, view)
        if view.names:
            return _scene(rng, number, view, sentences=_SENTENCES)


def _scene(rng: np.random.Generator, number: int, view: Photo, sentences: int) -> StoredScene:
    things = see_things(view)
    written = PhotoWriter(rng, things, view.told, as_people=True).write(sentences, _ABSENT_SHARE)
    return StoredScene(PHOTO_SPLIT, number, view.pixels, view.labels, _names(things), written, view.told)


def _names(things: Sequence[Thing]) -> tuple[Names, ...]:
    return tuple((t.fact.category, t.fact.color, t.fact.pattern, t.fact.size) for t in things)
