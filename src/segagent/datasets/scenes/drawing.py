"""A pen and dice for parametric shapes in unit coordinates, and its antialiased rasterisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Points: TypeAlias = npt.NDArray[np.float64]

_SUPERSAMPLE = 2
_SHIFT = 4
_NEUTRAL_TONE = 128


@dataclass(frozen=True, slots=True)
class Part:
    """One stroke or filled polygon: ``points`` (n, 2) as x, y; ``width`` 0 means filled; ``tone`` 1 is the base colour.

    ``hole`` removes coverage instead of adding it. Tones below 1 darken, above 1 (to 2) go towards white.
    """

    points: Points
    width: float
    tone: float
    closed: bool
    hole: bool


class Pen:
    """Collects the parts of one drawing, back to front. Coordinates are about -1..1, x right, y down."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def fill(self, points: Any, tone: float = 1.0) -> None:
        """A filled polygon."""
        self.parts.append(Part(np.asarray(points, np.float64), 0.0, tone, True, False))

    def line(self, points: Any, width: float, tone: float = 1.0, *, closed: bool = False) -> None:
        """A polyline with round joints; ``width`` in unit coordinates."""
        self.parts.append(Part(np.asarray(points, np.float64), width, tone, closed, False))

    def hole(self, points: Any) -> None:
        """A polygon through which the background is seen."""
        self.parts.append(Part(np.asarray(points, np.float64), 0.0, 1.0, True, True))


class Dice:
    """A few numbers drawn at once, handed out one by one as values within a range."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._values: npt.NDArray[np.float64] = rng.random(16)
        self._next = 0

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        value = float(self._values[self._next])
        self._next += 1
        return low + (high - low) * value

    def whole(self, low: int, high: int) -> int:
        """An integer in [low, high], both included."""
        return int(self.between(low, high + 1))


def arc(cx: float, cy: float, rx: float, ry: float, span: tuple[float, float] = (0, 360), *, num: int = 28) -> Points:
    """Points (num, 2) of an elliptic arc; degrees run clockwise from the x axis (y is down)."""
    angles = np.radians(np.linspace(span[0], span[1], num))
    return np.stack((cx + rx * np.cos(angles), cy + ry * np.sin(angles)), axis=1)


def rectangle(x0: float, y0: float, x1: float, y1: float) -> Points:
    """The four corners of an upright rectangle."""
    return np.array(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), np.float64)


def hull_area(parts: list[Part]) -> float:
    """Area of the convex hull of all points, strokes counted with their width (unit coordinates squared)."""
    clouds = []
    for part in parts:
        clouds.append(part.points)
        if part.width:
            half = part.width / 2
            clouds.extend(part.points + np.array(offset) for offset in ((half, 0), (-half, 0), (0, half), (0, -half)))
    hull = cv2.convexHull(np.concatenate(clouds).astype(np.float32))
    return float(cv2.contourArea(hull))


@dataclass(frozen=True, slots=True)
class Raster:
    """A drawing on a pixel grid whose top left pixel is ``origin`` (x, y).

    ``coverage`` float32 (h, w) in 0..1; ``tone`` float32 (h, w) in 0..2, meaningful where coverage > 0.
    """

    coverage: npt.NDArray[np.float32]
    tone: npt.NDArray[np.float32]
    origin: tuple[int, int]


def extent(parts: list[Part], matrix: Points) -> tuple[float, float, float, float]:
    """Bounds (x0, y0, x1, y1) in pixels, strokes included, of ``parts`` under the 2x2 ``matrix`` (no translation)."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    low = np.full(2, np.inf)
    high = np.full(2, -np.inf)
    for part in parts:
        moved = part.points @ matrix.T
        half = part.width * scale / 2
        low = np.minimum(low, moved.min(axis=0) - half)
        high = np.maximum(high, moved.max(axis=0) + half)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def rasterise(parts: list[Part], matrix: Points, min_width: float = 1.6, *, margin: int = 1) -> Raster:
    """Draw ``parts`` under the 2x2 ``matrix`` (unit coordinates to pixels), antialiased, around the origin.

    Strokes are at least ``min_width`` pixels wide, so that a small ladder keeps its rungs.
    """
    scale = float(np.sqrt(abs(np.linalg.det(matrix))))
    x0, y0, x1, y1 = extent(parts, matrix)
    left, top = int(np.floor(x0)) - margin, int(np.floor(y0)) - margin
    width, height = int(np.ceil(x1)) + margin - left, int(np.ceil(y1)) + margin - top
    shape = (height * _SUPERSAMPLE, width * _SUPERSAMPLE)
    cover = np.zeros(shape, np.uint8)
    tone = np.full(shape, _NEUTRAL_TONE, np.uint8)
    zoom = _SUPERSAMPLE * (1 << _SHIFT)
    offset = np.array((left, top), np.float64)
    half_pixel = 0.5 * (1 << _SHIFT)
    for part in parts:
        moved = (part.points @ matrix.T - offset) * zoom - half_pixel
        pixels = np.rint(moved).astype(np.int32)[:, None, :]
        shade = int(min(255, max(0, round(part.tone * _NEUTRAL_TONE))))
        value = 0 if part.hole else 255
        if part.width:
            thickness = max(1, round(max(part.width * scale, min_width) * _SUPERSAMPLE))
            cv2.polylines(cover, [pixels], part.closed, value, thickness, cv2.LINE_AA, _SHIFT)
            cv2.polylines(tone, [pixels], part.closed, shade, thickness, cv2.LINE_8, _SHIFT)
        else:
            cv2.fillPoly(cover, [pixels], value, cv2.LINE_AA, _SHIFT)
            if not part.hole:
                cv2.fillPoly(tone, [pixels], shade, cv2.LINE_8, _SHIFT)
    coverage = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    coverage *= 1 / 255
    tones = cv2.resize(tone, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    tones *= 1 / _NEUTRAL_TONE
    return Raster(coverage, tones, (left, top))
