"""How a drawn object looks: named colours, patterns, shading, shadows; and what a camera does to the picture."""

from __future__ import annotations

import colorsys
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core.image import Pixels
from segagent.datasets.scenes.drawing import Raster

Canvas: TypeAlias = npt.NDArray[np.float32]
"""float32 (height, width, 3) RGB in 0..255, or one plane of it."""

# Hue (degrees), saturation and value ranges. Green stays far from (0, 255, 0), the colour masks are overlaid in.
_HSV_RANGES = MappingProxyType(
    {
        "red": ((-6, 5), (0.78, 0.95), (0.66, 0.9)),
        "orange": ((22, 31), (0.85, 1.0), (0.92, 1.0)),
        "yellow": ((50, 57), (0.72, 0.95), (0.9, 1.0)),
        "green": ((108, 142), (0.55, 0.85), (0.38, 0.66)),
        "blue": ((208, 230), (0.65, 0.95), (0.55, 0.92)),
        "purple": ((266, 284), (0.55, 0.8), (0.45, 0.72)),
        "pink": ((322, 342), (0.32, 0.55), (0.94, 1.0)),
        "brown": ((18, 28), (0.58, 0.75), (0.33, 0.48)),
        "black": ((0, 360), (0.0, 0.15), (0.06, 0.13)),
        "white": ((0, 360), (0.0, 0.04), (0.93, 1.0)),
        "gray": ((0, 360), (0.0, 0.06), (0.43, 0.6)),
    }
)
COLORS: tuple[str, ...] = tuple(_HSV_RANGES)
PATTERNS: tuple[str, ...] = ("plain", "striped", "dotted", "checked", "grainy", "glossy")


def sample_color(rng: np.random.Generator, name: str) -> Canvas:
    """An RGB colour (3,), float32 in 0..255, of the named kind."""
    draws = rng.random(3)
    (h0, h1), (s0, s1), (v0, v1) = _HSV_RANGES[name]
    hue = (h0 + (h1 - h0) * float(draws[0])) % 360 / 360
    rgb = colorsys.hsv_to_rgb(hue, s0 + (s1 - s0) * float(draws[1]), v0 + (v1 - v0) * float(draws[2]))
    return np.array(rgb, np.float32) * np.float32(255)


def _second_color(rng: np.random.Generator, name: str, base: Canvas) -> Canvas:
    """What a pattern's stripes or dots are painted in: a clearly lighter or darker relative of ``base``.

    Black and white meet half way at most, so that a checked black mug is no checked white one.
    """
    strength = float(rng.uniform(0.68, 0.9))
    luminance = float(base @ np.array((0.3, 0.59, 0.11), np.float32))
    lighter = luminance < 90 or (luminance < 170 and rng.random() < 0.6)
    if name in ("black", "white", "gray"):
        strength *= 0.55
    if lighter:
        return np.asarray(base + (255 - base) * strength, np.float32)
    return np.asarray(base * (1 - strength * 0.85), np.float32)


def _pattern_field(rng: np.random.Generator, pattern: str, raster: Raster, radius: float) -> Canvas:
    """Share (h, w) of the second colour in 0..1 for the periodic patterns; coverage ratio stays below a half."""
    h, w = raster.coverage.shape
    angle, wide, phase_u, phase_v = rng.random(4)
    period = max(6.5, radius * (0.34 + 0.22 * wide))
    theta = angle * np.pi
    wave = 2 * np.pi / period
    x = (np.arange(w, dtype=np.float32) * np.float32(wave))[None, :]
    y = (np.arange(h, dtype=np.float32) * np.float32(wave))[:, None]
    c, s = np.float32(np.cos(theta)), np.float32(np.sin(theta))
    u = x * c + y * s + np.float32(6.28 * phase_u)
    sharp = np.float32(period * 0.28)
    if pattern == "striped":
        field = (np.sin(u) - np.float32(0.2)) * sharp + np.float32(0.5)
    else:
        v = y * c - x * s + np.float32(6.28 * phase_v)
        if pattern == "dotted":
            field = (np.cos(u) + np.cos(v) - np.float32(0.75)) * sharp + np.float32(0.5)
        else:
            field = np.sin(u * np.float32(0.6)) * np.sin(v * np.float32(0.6)) * sharp * 2 + np.float32(0.4)
    np.clip(field, 0, 1, out=field)
    return field


def paint(rng: np.random.Generator, raster: Raster, color: str, pattern: str, *, radius: float, light: float) -> Canvas:
    """The object's surface, float32 (h, w, 3) in about 0..255, before it is blended in by its coverage.

    ``radius`` is half the object's typical extent in pixels, ``light`` the direction of the light in radians.
    """
    h, w = raster.coverage.shape
    base = sample_color(rng, color)
    if pattern in ("striped", "dotted", "checked"):
        field = _pattern_field(rng, pattern, raster, radius)
        surface = base + field[..., None] * (_second_color(rng, color, base) - base)
    else:
        surface = np.empty((h, w, 3), np.float32)
        surface[:] = base
    darken = np.minimum(raster.tone, 1)
    lift = np.maximum(raster.tone - 1, 0)
    if float(base.max()) < 60:  # a darker detail would vanish on black
        surface += (lift * 0.85 + (1 - darken) * 0.3)[..., None] * (255 - surface)
    elif float(base.min()) > 220:  # and a lighter one on white
        surface *= (darken - lift * 0.25)[..., None]
    else:
        surface *= darken[..., None]
        surface += (lift * 0.9)[..., None] * (255 - surface)
    surface *= _shading(rng, raster, radius, light)[..., None]
    if rng.random() < 0.5:
        _round_off(rng, surface, raster, radius, light)
    if pattern == "grainy":
        half = ((h + 1) // 2, (w + 1) // 2) if radius > 34 else (h, w)
        grain = rng.standard_normal(half, np.float32)
        if half != (h, w):
            grain = cv2.resize(grain, (w, h), interpolation=cv2.INTER_LINEAR) * np.float32(1.4)
        surface += (grain * np.float32(rng.uniform(30, 44)))[..., None]
    elif pattern == "glossy":
        surface += _sheen(rng, raster, radius, light)[..., None] * (275 - surface)
    np.clip(surface, 0, 255, out=surface)
    return surface


def _shading(rng: np.random.Generator, raster: Raster, radius: float, light: float) -> Canvas:
    """Multiplier (h, w) near 1: brighter towards the light."""
    h, w = raster.coverage.shape
    strength = float(rng.uniform(0.03, 0.2)) / radius
    x = (np.arange(w, dtype=np.float32) - np.float32(w / 2)) * np.float32(np.cos(light) * strength)
    y = (np.arange(h, dtype=np.float32) - np.float32(h / 2)) * np.float32(np.sin(light) * strength)
    field: Canvas = np.float32(1) + np.clip(x[None, :] + y[:, None], -0.3, 0.3)
    return field


def _round_off(rng: np.random.Generator, surface: Canvas, raster: Raster, radius: float, light: float) -> None:
    """Make ``surface`` look thick in place: brighter where its edge faces the light, darker on the other side."""
    reach = max(1, round(radius * float(rng.uniform(0.06, 0.16))))
    soft = cv2.blur(raster.coverage, (2 * reach + 1, 2 * reach + 1), borderType=cv2.BORDER_CONSTANT)
    dx, dy = round(reach * float(np.cos(light))), round(reach * float(np.sin(light)))
    slope = np.roll(soft, (dy, dx), (0, 1)) - np.roll(soft, (-dy, -dx), (0, 1))
    surface += slope[..., None] * np.float32(-rng.uniform(20, 60))


def _sheen(rng: np.random.Generator, raster: Raster, radius: float, light: float) -> Canvas:
    """Share (h, w) in 0..1 of white in the streaks of a glossy surface, plus bright rims facing the light."""
    h, w = raster.coverage.shape
    theta = light + float(rng.uniform(-0.4, 0.4))
    x = (np.arange(w, dtype=np.float32) - np.float32(w / 2))[None, :]
    y = (np.arange(h, dtype=np.float32) - np.float32(h / 2))[:, None]
    u = (x * np.float32(np.cos(theta)) + y * np.float32(np.sin(theta))) / np.float32(radius)
    width = np.float32(rng.uniform(0.11, 0.17))
    at = np.float32(rng.uniform(0.1, 0.45))
    streak = np.exp(-(((u - at) / width) ** 2)) * np.float32(0.85)
    streak += np.exp(-(((u - at + width * 3) / (width * np.float32(0.5))) ** 2)) * np.float32(0.6)
    soft = cv2.blur(raster.coverage, (5, 5))
    dx, dy = round(2 * np.cos(light)), round(2 * np.sin(light))
    rim = np.clip(np.roll(soft, (dy, dx), (0, 1)) - np.roll(soft, (-dy, -dx), (0, 1)), -1, 0) * np.float32(-0.8)
    field: Canvas = np.minimum(streak + rim, np.float32(0.95))
    return field


def cast_shadow(
    rng: np.random.Generator, canvas: Canvas, raster: Raster, corner: tuple[int, int], light: float
) -> None:
    """Darken ``canvas`` in place by a soft shadow of an object whose raster starts at ``corner`` (x, y)."""
    blur, reach, depth = rng.random(3)
    size = 2 * int(2 + 5 * blur) + 1
    pad = size
    distance = 1.5 + 5.5 * float(reach)
    x0 = corner[0] - pad - round(distance * float(np.cos(light)))
    y0 = corner[1] - pad - round(distance * float(np.sin(light)))
    padded = cv2.copyMakeBorder(raster.coverage, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    soft = cv2.blur(cv2.blur(padded, (size, size)), (size, size))
    window, part = clip_window(canvas.shape, (x0, y0), soft.shape)
    shade = np.float32(1) - np.asarray(soft, np.float32)[part] * np.float32(0.2 + 0.35 * float(depth))
    canvas[window] *= shade[..., None]


def clip_window(
    canvas: tuple[int, ...], corner: tuple[int, int], patch: tuple[int, ...]
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices (rows, columns) of a patch whose top left pixel is put at ``corner`` (x, y): of the canvas, of the patch.

    ``canvas`` and ``patch`` are shapes that begin with height and width; what lies outside the canvas is cut off.
    """
    (height, width), (h, w), (x, y) = canvas[:2], patch[:2], corner
    left, top = min(max(x, 0), width), min(max(y, 0), height)
    right, bottom = max(min(x + w, width), left), max(min(y + h, height), top)
    window = (slice(top, bottom), slice(left, right))
    return window, (slice(top - y, bottom - y), slice(left - x, right - x))


def camera(rng: np.random.Generator, canvas: Canvas, strength: float) -> Pixels:
    """What illumination and a camera do: tint, gamma, vignette, blur, noise, JPEG. Returns read-only uint8 pixels.

    ``strength`` in 0..1 scales how often and how much the picture is degraded; 0 only rounds.
    """
    chance = rng.random(8)
    if strength > 0:
        h, w = canvas.shape[:2]
        if chance[0] < 0.5 * strength:
            corners = rng.uniform(1 - 0.3 * strength, 1 + 0.12 * strength, (2, 2)).astype(np.float32)
            canvas *= cv2.resize(corners, (w, h), interpolation=cv2.INTER_LINEAR)[..., None]
        if chance[1] < 0.6 * strength:
            canvas *= rng.uniform(1 - 0.1 * strength, 1 + 0.06 * strength, 3).astype(np.float32)
        if chance[2] < 0.25 * strength:
            sigma = float(rng.uniform(0.5, 0.5 + 0.9 * strength))
            canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), sigma), np.float32)
        if chance[3] < 0.4 * strength:
            noise = rng.standard_normal((h, w), np.float32) * np.float32(rng.uniform(2, 2 + 8 * strength))
            canvas += noise[..., None]
    pixels = np.clip(canvas, 0, 255).astype(np.uint8)
    if chance[4] < 0.3 * strength:
        table = np.rint(255 * (np.arange(256) / 255) ** float(rng.uniform(0.8, 1.3))).astype(np.uint8)
        pixels = np.asarray(cv2.LUT(pixels, table), np.uint8)
    if chance[5] < 0.25 * strength:
        quality = int(rng.integers(35, 88))
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    pixels.setflags(write=False)
    return pixels
