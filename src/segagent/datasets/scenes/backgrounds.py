"""Backgrounds without any of the categories: noise, gradients, made textures and crops of bundled photographs."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from segagent.core.image import Pixels
from segagent.datasets.scenes.appearance import Canvas

# Photographs inside the scikit-image wheel that show none of the categories.
_PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "grass.png", "gravel.png",
    "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg", "rocket.jpg",
)  # fmt: skip
_PHOTOGRAPH_SIDE = 400


@functools.cache
def bundled_photographs() -> tuple[Pixels, ...]:
    """The bundled photographs, RGB uint8, long side at most 400, read-only; empty where scikit-image has none."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        return ()
    found: list[Pixels] = []
    for name in _PHOTOGRAPHS:
        path = Path(spec.origin).parent / "data" / name
        decoded = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.exists() else None
        if decoded is None:
            continue
        picture: Pixels = np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)
        shrink = _PHOTOGRAPH_SIDE / max(picture.shape[:2])
        if shrink < 1:
            picture = np.asarray(
                cv2.resize(picture, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8
            )
        picture.setflags(write=False)
        found.append(picture)
    return tuple(found)


def _palette(rng: np.random.Generator, num: int, spread: float) -> Canvas:
    """Related muted colours (num, 3) around one random colour."""
    centre = rng.uniform(55, 215, 3)
    grey = centre.mean()
    centre = grey + (centre - grey) * rng.uniform(0.2, 1.0)
    colors = centre + rng.normal(0, spread, (num, 1)) + rng.normal(0, spread * 0.4, (num, 3))
    return np.asarray(np.clip(colors, 8, 248), np.float32)


def _waves(rng: np.random.Generator, h: int, w: int, cells: tuple[int, ...]) -> Canvas:
    """Smooth noise (h, w) of about unit deviation: one octave per entry of ``cells``, halving in strength."""
    field = np.zeros((h, w), np.float32)
    gain = np.float32(1.0)
    for num in cells:
        grid = rng.standard_normal((num + 1, num + 1), np.float32) * gain
        method = cv2.INTER_CUBIC if num < 12 else cv2.INTER_LINEAR
        field += np.asarray(cv2.resize(grid, (w, h), interpolation=method), np.float32)
        gain *= np.float32(0.55)
    return field


def _gradient(rng: np.random.Generator, h: int, w: int) -> Canvas:
    corners = _palette(rng, 4, 22).reshape(2, 2, 3)
    big = cv2.resize(corners, (2 * w, 2 * h), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(big[h // 2 : h // 2 + h, w // 2 : w // 2 + w])


def _noise(rng: np.random.Generator, h: int, w: int) -> Canvas:
    base, other = _palette(rng, 2, 30)
    field = _waves(rng, h, w, (2, 5, 11, 24, 60)[: int(rng.integers(2, 6))])
    mix = np.clip(field * np.float32(0.3) + np.float32(0.5), 0, 1)
    return np.asarray(base + mix[..., None] * (other - base), np.float32)


def _blend(field: Canvas, base: Canvas, other: Canvas) -> Canvas:
    return np.asarray(base + np.clip(field, 0, 1)[..., None] * (other - base), np.float32)


def _coordinates(rng: np.random.Generator, h: int, w: int) -> tuple[Canvas, Canvas]:
    """Rotated pixel coordinates, each (h, w), often upright."""
    theta = float(rng.choice((0.0, np.pi / 2))) if rng.random() < 0.5 else float(rng.uniform(0, np.pi))
    x = np.arange(w, dtype=np.float32)[None, :]
    y = np.arange(h, dtype=np.float32)[:, None]
    c, s = np.float32(np.cos(theta)), np.float32(np.sin(theta))
    return x * c + y * s, y * c - x * s


def _wood(rng: np.random.Generator, h: int, w: int) -> Canvas:
    u, v = _coordinates(rng, h, w)
    dark = np.array((rng.uniform(80, 150), rng.uniform(55, 105), rng.uniform(25, 70)), np.float32)
    light = np.clip(dark * np.float32(rng.uniform(1.25, 1.7)) + 20, 0, 250).astype(np.float32)
    warp = _waves(rng, h, w, (2, 4)) * np.float32(rng.uniform(2, 7))
    grain = np.sin((u + warp + v * np.float32(0.03)) * np.float32(rng.uniform(0.25, 0.7)))
    plank = float(rng.uniform(34, 80))
    field = grain * np.float32(0.22) + np.float32(0.5) + np.sin(np.floor(u / plank) * 12.9898) * np.float32(0.2)
    picture = _blend(field.astype(np.float32), dark, light)
    seam = np.abs((u / plank) % 1 - 0.5) > 0.5 - 1.0 / plank
    picture[seam] *= np.float32(0.6)
    return picture


def _tiles(rng: np.random.Generator, h: int, w: int) -> Canvas:
    u, v = _coordinates(rng, h, w)
    side = float(rng.uniform(22, 64))
    row = np.floor(v / side)
    shift = row * (0.5 if rng.random() < 0.5 else 0.0)
    column = np.floor(u / side + shift)
    base, other, grout = _palette(rng, 3, 24)
    jitter = np.sin(row * 12.9898 + column * 78.233) * np.float32(43758.5453)
    picture = _blend((jitter - np.floor(jitter)).astype(np.float32), base, other)
    edge = np.minimum((u / side + shift) % 1, (v / side) % 1) < max(1.5 / side, 0.04)
    picture[edge] = grout
    return picture


def _stripes(rng: np.random.Generator, h: int, w: int) -> Canvas:
    u, v = _coordinates(rng, h, w)
    base, other = _palette(rng, 2, 26)
    wave = np.float32(2 * np.pi / rng.uniform(14, 70))
    field = np.sin(u * wave) * np.float32(rng.uniform(0.8, 4))
    if rng.random() < 0.35:
        field = np.maximum(field, np.sin(v * wave) * np.float32(2))
    return _blend(field.astype(np.float32) + np.float32(0.5), base, other)


def _grass(rng: np.random.Generator, h: int, w: int) -> Canvas:
    blades = rng.standard_normal((h // 8 + 2, w // 2 + 2), np.float32)
    field: Canvas = np.asarray(cv2.resize(blades, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    field += _waves(rng, h, w, (4,)) * np.float32(0.8)
    if rng.random() < 0.6:
        dark = np.array((rng.uniform(40, 80), rng.uniform(75, 120), rng.uniform(25, 55)), np.float32)
        return _blend(field * np.float32(0.22) + np.float32(0.4), dark, dark * np.float32(1.6) + 20)
    base, other = _palette(rng, 2, 32)
    return _blend(field * np.float32(0.25) + np.float32(0.5), base, other)


def photograph_crop(rng: np.random.Generator, h: int, w: int) -> Canvas:
    """A random crop of a bundled photograph, mirrored, re-lit and sometimes re-tinted, as float32 (h, w, 3)."""
    pictures = bundled_photographs()
    if not pictures:
        return _noise(rng, h, w)
    picture = pictures[int(rng.integers(len(pictures)))]
    share, left, top, mirror, tint, contrast = rng.random(6)
    limit = min(picture.shape[0] / h, picture.shape[1] / w)
    scale = limit * (0.35 + 0.65 * float(share))
    ch, cw = max(2, int(h * scale)), max(2, int(w * scale))
    y, x = int(float(top) * (picture.shape[0] - ch)), int(float(left) * (picture.shape[1] - cw))
    crop = picture[y : y + ch, x : x + cw]
    if mirror < 0.5:
        crop = crop[:, ::-1]
    resized = cv2.resize(np.ascontiguousarray(crop), (w, h), interpolation=cv2.INTER_LINEAR)
    canvas: Canvas = np.asarray(resized, np.float32)
    gain = np.float32(0.6 + 0.45 * float(contrast))
    canvas *= gain
    canvas += np.float32((1 - gain) * 120)
    if tint < 0.5:
        canvas *= rng.uniform(0.75, 1.15, 3).astype(np.float32)
    return canvas


_TEXTURES: tuple[Callable[[np.random.Generator, int, int], Canvas], ...] = (_wood, _tiles, _stripes, _grass, _noise)


def texture(rng: np.random.Generator, h: int, w: int, *, photograph_share: float = 0.5) -> Canvas:
    """Some busy surface, float32 (h, w, 3): a photograph's crop with that probability, else a made texture."""
    if rng.random() < photograph_share:
        return photograph_crop(rng, h, w)
    return _TEXTURES[int(rng.integers(len(_TEXTURES)))](rng, h, w)


def background(rng: np.random.Generator, h: int, w: int, *, busy: float, photographs: bool = True) -> Canvas:
    """A background, float32 (h, w, 3) in about 0..255; ``busy`` in 0..1 is the chance of a texture or photograph."""
    if rng.random() < busy:
        canvas = texture(rng, h, w, photograph_share=0.5 if photographs else 0.0)
        if rng.random() < 0.25:
            canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.8, 2.5))), np.float32)
        if rng.random() < 0.15:
            _add_floor(rng, canvas)
    elif rng.random() < 0.5:
        canvas = _gradient(rng, h, w)
    else:
        canvas = _noise(rng, h, w)
    return canvas


def _add_floor(rng: np.random.Generator, canvas: Canvas) -> None:
    """Replace the lower part of ``canvas`` in place by another surface, as a table or floor before a wall."""
    h, w = canvas.shape[:2]
    edge = int(h * rng.uniform(0.3, 0.75))
    canvas[edge:] = texture(rng, h - edge, w, photograph_share=0.0)
    canvas[edge : edge + 2] *= np.float32(0.7)


def clutter(rng: np.random.Generator, canvas: Canvas, num: int) -> None:
    """Draw ``num`` meaningless faint scribbles, wires and splotches into ``canvas`` in place."""
    h, w = canvas.shape[:2]
    unit = max(h, w)
    for _ in range(num):
        start = rng.uniform(0, 1, 2)
        ground = canvas[int(start[1] * h), int(start[0] * w)]
        color = tuple(float(v) for v in ground + (_palette(rng, 1, 40)[0] - ground) * np.float32(rng.uniform(0.2, 0.7)))
        if rng.random() < 0.6:
            steps = rng.normal(0, 0.09, (int(rng.integers(3, 7)), 2))
            points = (start + np.cumsum(steps, axis=0)) * (w, h) * 16
            cv2.polylines(
                canvas, [points.astype(np.int32)[:, None]], False, color, int(rng.integers(1, 4)), cv2.LINE_8, 4
            )
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
            radii = rng.uniform(0.01, 0.06, 7) * unit
            points = start * (w, h) + np.stack((np.cos(angles), np.sin(angles)), axis=1) * radii[:, None]
            cv2.fillPoly(canvas, [points.astype(np.int32)[:, None]], color, cv2.LINE_8)
