"""Dead leaves: overlapping random regions of unlike textures, for training a click tool that knows no classes."""

from __future__ import annotations

import numpy as np

from segagent.core.image import Pixels
from segagent.core.masks import BoolMask, frozen_mask
from segagent.datasets.scenes.appearance import Canvas, camera, cast_shadow, clip_window
from segagent.datasets.scenes.backgrounds import texture
from segagent.datasets.scenes.drawing import Part, Pen, Points, Raster, arc, hull_area, rasterise
from segagent.datasets.scenes.language import pick
from segagent.datasets.scenes.shapes import CATEGORY_SHAPES, draw_category, random_pose

_SILHOUETTES = tuple(CATEGORY_SHAPES)
_MIN_AREA = 0.004


def _blob(rng: np.random.Generator) -> Points:
    """A smooth closed curve of random Fourier coefficients, about unit radius."""
    t = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    radius = np.ones_like(t)
    roughness = float(rng.uniform(0.1, 0.45))
    for harmonic in range(2, 2 + int(rng.integers(1, 6))):
        gain, phase = roughness * rng.standard_normal() / harmonic**0.8, rng.uniform(0, 2 * np.pi)
        radius += gain * np.cos(harmonic * t + phase)
    radius = np.maximum(radius, 0.25)
    return np.stack((radius * np.cos(t) * float(rng.uniform(0.4, 1.0)), radius * np.sin(t)), axis=1)


def _outline(rng: np.random.Generator) -> list[Part]:
    """A region in unit coordinates: blob, polygon, cell, band, sometimes with a hole, or a category's silhouette."""
    roll = rng.random()
    pen = Pen()
    if roll < 0.25:
        return draw_category(rng, pick(rng, _SILHOUETTES))
    if roll < 0.4:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        radii = rng.uniform(0.5, 1.1, len(angles))
        pen.fill(np.stack((radii * np.cos(angles), radii * np.sin(angles)), axis=1))
    elif roll < 0.52:
        steps = rng.normal((0.3, 0.0), 0.35, (int(rng.integers(3, 7)), 2))
        walk = np.cumsum(steps, axis=0)
        pen.line(walk - walk.mean(axis=0), float(rng.uniform(0.08, 0.35)))
    else:
        outline = _blob(rng)
        pen.fill(outline)
        if rng.random() < 0.2:
            pen.hole(outline * float(rng.uniform(0.3, 0.65)) + rng.uniform(-0.1, 0.1, 2))
        if rng.random() < 0.15:
            pen.fill(arc(0.0, 0.0, float(rng.uniform(0.2, 1.4)), float(rng.uniform(0.1, 0.3))))
    return pen.parts


def _surface(rng: np.random.Generator, raster: Raster) -> Canvas:
    """The region's own texture, float32 (h, w, 3), recoloured so that it differs from its neighbours."""
    h, w = raster.coverage.shape
    if rng.random() < 0.3:
        flat = np.empty((h, w, 3), np.float32)
        flat[:] = rng.uniform(10, 245, 3)
        slope = np.linspace(rng.uniform(0.75, 1.2), rng.uniform(0.75, 1.2), w).astype(np.float32)
        flat *= slope[None, :, None]
        surface: Canvas = flat
    else:
        surface = texture(rng, max(h, 16), max(w, 16), photograph_share=0.65)[:h, :w]
        gain = rng.uniform(0.55, 1.25, 3).astype(np.float32)
        surface = surface * gain + np.float32(rng.uniform(-25, 25))
    if rng.random() < 0.3:  # silhouettes keep their inner drawing now and then
        surface = surface * np.clip(raster.tone, 0.3, 1.5)[..., None]
    return np.clip(surface, 0, 255)


def generate_leaf_scene(rng: np.random.Generator, size: int = 256) -> tuple[Pixels, list[BoolMask]]:
    """A picture, uint8 (size, size, 3) RGB, and the visible pixels of its regions, disjoint bool (size, size) masks.

    Regions of less than 0.4 % of the picture are drawn but not listed. All arrays are read-only.
    """
    canvas = texture(rng, size, size, photograph_share=0.65)
    owner = np.zeros((size, size), np.uint8)
    light = float(rng.uniform(-np.pi, 0))
    num = int(rng.integers(5, 19))
    for label in range(1, num + 1):
        parts = _outline(rng)
        unit = hull_area(parts)
        if unit < 1e-3:
            continue
        share = float(np.exp(rng.uniform(np.log(0.008), np.log(0.22))))
        pose = random_pose(rng, "arrow") * float(np.sqrt(share * size * size / unit))
        raster = rasterise(parts, pose)
        h, w = raster.coverage.shape
        centre = rng.uniform(0, size, 2)
        x, y = int(centre[0] - w / 2), int(centre[1] - h / 2)
        window, part = clip_window(owner.shape, (x, y), (h, w))
        if 0 in raster.coverage[part].shape or max(h, w) > 2 * size:
            continue
        if rng.random() < 0.35:
            cast_shadow(rng, canvas, raster, (x, y), light)
        view = canvas[window]
        view += raster.coverage[part][..., None] * (_surface(rng, raster)[part] - view)
        owner[window][raster.coverage[part] >= 0.5] = label
    counts = np.bincount(owner.ravel(), minlength=num + 1)
    masks = [frozen_mask(owner == k) for k in range(1, num + 1) if counts[k] >= _MIN_AREA * size * size]
    return camera(rng, canvas, 0.7), masks
