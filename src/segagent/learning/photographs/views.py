"""Views of annotated photographs: crops, mirrored, re-lit, with cut-outs of other photographs pasted in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core import Pixels
from segagent.learning.photographs.colours import UNKNOWN
from segagent.learning.photographs.words import coco_name
from segagent.learning.policy.scene_store import NOT_ASKED
from segagent.learning.tool.sources import Photographs

MOST_THINGS = 60
_SMALLEST = 100
_LEAST_SHARE = 0.25
_LABELS_EVERYTHING = 20
"""A set that tells so many kinds of things apart is taken to outline all that its photographs show."""

Labels = npt.NDArray[np.uint8]
Names = tuple[str, str, str, str]


@dataclass(frozen=True, eq=False)
class Photo:
    """``pixels`` uint8 (h, w, 3); ``labels`` uint8 (h, w), thing i drawn as i + 1 or ``NOT_ASKED``; ``names`` of each
    thing as (category, color, pattern, size), empty where unknown. ``told``: the categories of which ``names`` has all
    that the picture shows, so that another one of them is surely not there. Of a whole photograph: ``path``, its file,
    and ``image_id``; and of each thing the id of its annotation, ``ids``, where it has one.
    """

    pixels: Pixels
    labels: Labels
    names: tuple[Names, ...]
    told: frozenset[str] = frozenset()
    path: Path | None = None
    image_id: int = 0
    ids: tuple[int, ...] = ()


def load_photos(folder: Path, *, validation: bool) -> list[Photo]:
    """The photographs of a COCO-format folder that have things in them; ``validation`` as in ``Photographs``.

    Crowds, groups and unlabelled pixels are ``NOT_ASKED``, and so is the background of a set that tells few kinds of
    things apart: other things are there too and have no outline. Parts of things are left out.
    """
    source = Photographs(folder, validation=validation, min_area=0.0)
    everything = len(source.categories) >= _LABELS_EVERYTHING
    unlabelled = 0 if everything else NOT_ASKED
    of_set = frozenset(filter(None, map(coco_name, source.categories))) if everything else frozenset()
    things: dict[int, list[dict[str, Any]]] = {}
    for annotation in source.objects:
        if annotation.get("kind") != "part":
            things.setdefault(int(annotation["image_id"]), []).append(annotation)
    unasked: dict[int, list[dict[str, Any]]] = {}
    for annotation in source.unasked:
        unasked.setdefault(int(annotation["image_id"]), []).append(annotation)
    photos = []
    for image, found in things.items():
        found.sort(key=lambda annotation: -float(annotation["area"]))
        drawn, rest = found[:MOST_THINGS], found[MOST_THINGS:] + unasked.get(image, [])
        pixels = source.of(drawn[0])[0]
        labels = np.full(pixels.shape[:2], unlabelled, np.uint8)
        for annotation in rest:
            labels[source.of(annotation)[1]] = NOT_ASKED
        for label, annotation in enumerate(drawn, 1):
            labels[source.of(annotation)[1]] = label
        names = tuple((coco_name(source.category(a)), UNKNOWN, UNKNOWN, UNKNOWN) for a in drawn)
        told = (of_set | {name[0] for name in names}) - {coco_name(source.category(a)) for a in rest}
        ids = tuple(int(annotation["id"]) for annotation in drawn)
        photos.append(Photo(pixels, labels, names, told, source.path(drawn[0]), image, ids))
    return photos


def kept_things(photo: Photo, areas: npt.NDArray[np.float64]) -> Photo:
    """``photo`` without the things that show too little: their pixels become ``NOT_ASKED``, the rest is renumbered.

    ``areas`` (things,): how many pixels each would have if nothing covered or cut it.
    """
    counts = np.bincount(photo.labels.ravel(), minlength=256)[1 : len(photo.names) + 1]
    keep = (counts >= _SMALLEST) & (counts >= _LEAST_SHARE * areas)
    table = np.full(256, NOT_ASKED, np.uint8)
    table[0] = 0
    table[1 : len(keep) + 1][keep] = np.arange(1, keep.sum() + 1)
    names = tuple(name for name, kept in zip(photo.names, keep, strict=True) if kept)
    half_seen = {name[0] for name, kept, count in zip(photo.names, keep, counts, strict=True) if count and not kept}
    ids = tuple(number for number, kept in zip(photo.ids, keep, strict=True) if kept) if photo.ids else ()
    labels = np.asarray(table[photo.labels], np.uint8)
    return Photo(photo.pixels, labels, names, photo.told - half_seen, photo.path, photo.image_id, ids)


def whole_view(photo: Photo, side: int) -> Photo:
    """The whole photograph as a square of ``side`` pixels; its aspect ratio is given up."""
    height, width = photo.labels.shape
    return _window(photo, (0, 0, width, height), side)


def random_view(rng: np.random.Generator, photo: Photo, side: int) -> Photo:
    """A crop around some thing, or the whole, as a square of ``side`` pixels; mirrored and re-lit at random."""
    height, width = photo.labels.shape
    box = (0, 0, width, height)
    if rng.random() < 0.6:
        share, stretch = rng.uniform(0.45, 1.0), np.exp(rng.uniform(-0.2, 0.2))
        w = int(np.clip(width * share * stretch, 32, width))
        h = int(np.clip(height * share / stretch, 32, height))
        row, column = _some_place(rng, photo.labels)
        x0 = int(np.clip(column - rng.uniform(0.15, 0.85) * w, 0, width - w))
        y0 = int(np.clip(row - rng.uniform(0.15, 0.85) * h, 0, height - h))
        box = (x0, y0, w, h)
    seen = _window(photo, box, side)
    if rng.random() < 0.5:
        seen = mirrored_photo(seen)
    return replace(seen, pixels=relit(rng, seen.pixels))


def mirrored_photo(photo: Photo) -> Photo:
    """``photo`` with left and right exchanged."""
    pixels, labels = np.ascontiguousarray(photo.pixels[:, ::-1]), np.ascontiguousarray(photo.labels[:, ::-1])
    return replace(photo, pixels=pixels, labels=labels)


def _some_place(rng: np.random.Generator, labels: Labels) -> tuple[int, int]:
    """Row and column of a random pixel of a random thing, the larger the likelier (square root)."""
    counts = np.bincount(labels.ravel(), minlength=256).astype(np.float64)
    counts[[0, NOT_ASKED]] = 0
    if not counts.any():
        return labels.shape[0] // 2, labels.shape[1] // 2
    label = int(rng.choice(256, p=np.sqrt(counts) / np.sqrt(counts).sum()))
    places = np.flatnonzero(labels.ravel() == label)
    row, column = divmod(int(places[rng.integers(len(places))]), labels.shape[1])
    return row, column


def _window(photo: Photo, box: tuple[int, int, int, int], side: int) -> Photo:
    x0, y0, width, height = box
    window = np.s_[y0 : y0 + height, x0 : x0 + width]
    method = cv2.INTER_AREA if min(width, height) >= side else cv2.INTER_LINEAR
    pixels = cv2.resize(np.ascontiguousarray(photo.pixels[window]), (side, side), interpolation=method)
    nearest = cv2.INTER_NEAREST_EXACT
    labels = cv2.resize(np.ascontiguousarray(photo.labels[window]), (side, side), interpolation=nearest)
    scale = side * side / (width * height)
    counts = np.bincount(photo.labels.ravel(), minlength=256)[1 : len(photo.names) + 1]
    areas = counts.astype(np.float64) * scale
    resized = replace(photo, pixels=np.asarray(pixels, np.uint8), labels=np.asarray(labels, np.uint8))
    return kept_things(resized, areas)


def relit(rng: np.random.Generator, pixels: Pixels) -> Pixels:
    """``pixels`` with gain, tint, saturation and sharpness changed a little, as another camera might."""
    changed = pixels.astype(np.float32)
    if rng.random() < 0.6:
        changed = changed * rng.uniform(0.92, 1.08, 3).astype(np.float32) * np.float32(rng.uniform(0.8, 1.2))
    if rng.random() < 0.5:
        gray = changed.mean(2, keepdims=True)
        changed = gray + (changed - gray) * np.float32(rng.uniform(0.7, 1.3))
    if rng.random() < 0.4:
        changed = (changed - np.float32(127)) * np.float32(rng.uniform(0.8, 1.2)) + np.float32(127)
    if rng.random() < 0.2:
        changed = np.asarray(cv2.GaussianBlur(changed, (0, 0), float(rng.uniform(0.4, 1.0))), np.float32)
    if rng.random() < 0.25:
        changed = changed + rng.normal(0, rng.uniform(2, 8), changed.shape[:2]).astype(np.float32)[..., None]
    return np.asarray(np.clip(changed, 0, 255), np.uint8)


class CutOuts:
    """Things cut out of photographs, rare categories as likely as common ones, to be pasted elsewhere."""

    def __init__(self, photos: Sequence[Photo], least_share: float = 0.008) -> None:
        self._photos = photos
        found: dict[str, list[tuple[int, int]]] = {}
        for number, photo in enumerate(photos):
            counts = np.bincount(photo.labels.ravel(), minlength=256)
            for label, names in enumerate(photo.names, 1):
                if counts[label] >= least_share * photo.labels.size:
                    found.setdefault(names[0], []).append((number, label))
        self._things = [thing for things in found.values() for thing in things]
        weights = np.array([len(things) ** -0.5 for things in found.values() for _ in things])
        self._weights = weights / weights.sum()

    def paste(self, rng: np.random.Generator, onto: Photo) -> Photo:
        """``onto`` with one to four things pasted in; what they hide too much of is ``NOT_ASKED``."""
        pixels, labels = onto.pixels.astype(np.float32), onto.labels.copy()
        names = list(onto.names)
        areas = list(np.bincount(labels.ravel(), minlength=256)[1 : len(names) + 1].astype(np.float64))
        for index in rng.choice(len(self._things), int(rng.integers(1, 5)), p=self._weights):
            number, label = self._things[int(index)]
            areas.append(_paste_one(rng, self._photos[number], label, pixels, labels, len(names) + 1))
            names.append(self._photos[number].names[label - 1])
        pasted = Photo(np.asarray(np.clip(pixels, 0, 255), np.uint8), labels, tuple(names), onto.told)
        return kept_things(pasted, np.array(areas))


def _paste_one(
    rng: np.random.Generator, photo: Photo, label: int, pixels: npt.NDArray[np.float32], labels: Labels, new: int
) -> float:
    """Paste thing ``label`` of ``photo`` into ``pixels`` and ``labels`` in place; returns its whole area in pixels."""
    shape = photo.labels == label
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cut, alpha = photo.pixels[box], shape[box].astype(np.float32)
    side = labels.shape[0]
    scale = min(np.exp(rng.uniform(np.log(0.15), np.log(0.75))) * side / max(alpha.shape), 2.0)
    size = (max(4, round(alpha.shape[1] * scale)), max(4, round(alpha.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    cut = np.asarray(cv2.resize(np.ascontiguousarray(cut), size, interpolation=method), np.uint8)
    alpha = cv2.GaussianBlur(cv2.resize(alpha, size, interpolation=method), (3, 3), 0.6)
    if rng.random() < 0.5:
        cut, alpha = cut[:, ::-1], alpha[:, ::-1]
    cut = relit(rng, np.ascontiguousarray(cut))
    x0 = int(rng.integers(-size[0] // 5, max(side - size[0] + size[0] // 5, 1)))
    y0 = int(rng.integers(-size[1] // 5, max(side - size[1] + size[1] // 5, 1)))
    left, top = max(0, -x0), max(0, -y0)
    x0, y0 = max(x0, 0), max(y0, 0)
    part = np.s_[top : top + side - y0, left : left + side - x0]
    cut, seen = cut[part], np.asarray(alpha[part], np.float32)
    place = np.s_[y0 : y0 + seen.shape[0], x0 : x0 + seen.shape[1]]
    pixels[place] += (cut - pixels[place]) * seen[..., None]
    labels[place][seen >= 0.5] = new
    return float((alpha >= 0.5).sum())
