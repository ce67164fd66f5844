"""One scene from one random stream: plan objects, place them, paint them back to front, write sentences."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
import numpy.typing as npt

from segagent.core.masks import frozen_mask
from segagent.datasets.scenes import language
from segagent.datasets.scenes.appearance import (
    COLORS,
    PATTERNS,
    Canvas,
    camera,
    cast_shadow,
    clip_window,
    paint,
    sample_color,
)
from segagent.datasets.scenes.backgrounds import background, clutter
from segagent.datasets.scenes.drawing import Raster, extent, hull_area, rasterise
from segagent.datasets.scenes.expressions import Fact, Writer
from segagent.datasets.scenes.model import Scene, SceneConfig, SceneObject, Split
from segagent.datasets.scenes.shapes import CATEGORY_SHAPES, draw_category, random_pose

GENERATOR_VERSION = "segagent-scenes/1"

CATEGORIES: tuple[str, ...] = tuple(CATEGORY_SHAPES)

# Area of an object's convex outline as a fraction of the image: the gaps keep size words unambiguous.
SIZE_RANGES = MappingProxyType({"small": (0.013, 0.026), "medium": (0.046, 0.075), "large": (0.125, 0.21)})
_MIN_VISIBLE_SHARE = 0.6
_MIN_VISIBLE_AREA = 0.004
_WHOLE_SHARE = 0.75
_MAX_ATTEMPTS = 40

_SPLIT_IDS = MappingProxyType({"train": 0, "val": 1, "test": 2})
_STREAM_TAG = 0x5CE7E5

_THIN = tuple(name for name, shape in CATEGORY_SHAPES.items() if shape.thin)
_COMPACT = tuple(name for name, shape in CATEGORY_SHAPES.items() if not shape.thin)
_TYPICAL = MappingProxyType({name: sample_color(np.random.default_rng(0), name) for name in COLORS})


def scene_rng(split: Split, seed: int, index: int) -> np.random.Generator:
    """The random stream of scene ``index`` of a split: no two (split, seed, index) share one. Numbers are >= 0."""
    return np.random.default_rng(np.random.SeedSequence([_STREAM_TAG, _SPLIT_IDS[split], seed, index]))


@dataclass(frozen=True, slots=True)
class _Style:
    """How hard one scene is, each a share in 0..1 unless said otherwise."""

    thin: float
    plain: float
    busy: float
    clutter: int
    overlap: float
    degrade: float
    small: float
    crowded: float


_SIMPLE = _Style(thin=0.0, plain=0.75, busy=0.25, clutter=0, overlap=0.0, degrade=0.3, small=0.2, crowded=0.4)
_MIDDLE = _Style(thin=0.36, plain=0.5, busy=0.7, clutter=0, overlap=0.12, degrade=0.6, small=0.33, crowded=0.5)
_HARD = _Style(thin=0.62, plain=0.42, busy=0.92, clutter=9, overlap=0.4, degrade=1.0, small=0.42, crowded=0.8)


def _style(rng: np.random.Generator, config: SceneConfig) -> _Style:
    if config.complexity == "simple":
        return _SIMPLE
    if config.complexity == "hard":
        return _HARD
    roll = rng.random()
    return _SIMPLE if roll < 0.2 else _MIDDLE if roll < 0.65 else _HARD


@dataclass(frozen=True, slots=True)
class _Plan:
    category: str
    color: str
    pattern: str
    size: str


def _plan_object(rng: np.random.Generator, style: _Style, earlier: list[_Plan]) -> _Plan:
    """A new object's attributes; it often shares some with an earlier one, so that sentences need the others."""
    roll = rng.random(6)
    model = language.pick(rng, earlier) if earlier else None
    if model is not None and roll[0] < 0.45:
        category = model.category
    else:
        category = language.pick(rng, _THIN if roll[1] < style.thin else _COMPACT)
    color = model.color if model is not None and roll[2] < 0.25 else language.pick(rng, COLORS)
    if model is not None and roll[3] < 0.12:
        pattern = model.pattern
    else:
        pattern = "plain" if roll[4] < style.plain else language.pick(rng, PATTERNS[1:])
    size = "small" if roll[5] < style.small else "medium" if roll[5] < 0.6 + style.small / 3 else "large"
    return _Plan(category, color, pattern, size)


def _shape(rng: np.random.Generator, plan: _Plan, height: int, width: int) -> tuple[Raster, float] | None:
    """The object's raster and half its typical extent in pixels; None where it does not fit at its size."""
    parts = draw_category(rng, plan.category)
    pose = random_pose(rng, plan.category)
    low, high = SIZE_RANGES[plan.size]
    unit = hull_area(parts) / (height * width)
    footprint = float(rng.uniform(low, high))
    scale = float(np.sqrt(footprint / unit))
    x0, y0, x1, y1 = extent(parts, pose)
    fit = min((width - 6) / (x1 - x0), (height - 6) / (y1 - y0))
    if scale > fit:
        scale = fit
        if scale * scale * unit < low:
            return None
    raster = rasterise(parts, pose * scale, min_width=1.7 * max(1.0, min(height, width) / 256))
    return raster, float(np.sqrt(footprint * height * width)) / 2


class _Board:
    """The picture under work: its pixels, and which object owns each of them (0 none, k + 1 object k)."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.height, self.width = canvas.shape[:2]
        self.owner: npt.NDArray[np.uint8] = np.zeros((self.height, self.width), np.uint8)
        self.totals: list[int] = []
        self.visible: list[int] = []

    def find_corner(
        self, rng: np.random.Generator, raster: Raster, style: _Style, color: str
    ) -> tuple[int, int] | None:
        """Where to put the object's raster (x, y of its top left pixel) so that all earlier ones still show."""
        solid = raster.coverage >= 0.5
        h, w = solid.shape
        total = int(np.count_nonzero(solid))
        least = _MIN_VISIBLE_AREA * self.height * self.width
        if total < least:
            return None
        gap = 0 if rng.random() < style.overlap else 4
        cut = round(0.12 * min(h, w)) if rng.random() < style.overlap * 0.4 else 0
        spots = rng.random((14, 2))
        typical = _TYPICAL[color]
        for number, (fx, fy) in enumerate(spots):
            x = round(float(fx) * (self.width - w + 2 * cut)) - cut
            y = round(float(fy) * (self.height - h + 2 * cut)) - cut
            window, part = clip_window(self.owner.shape, (x, y), solid.shape)
            under = self.owner[window]
            if gap:
                spread = self.owner[max(0, y - gap) : y + h + gap, max(0, x - gap) : x + w + gap]
                if number < 10 and cv2.countNonZero(spread) > 0.02 * spread.size:
                    continue
            if under.any():
                shown = solid[part]
                lost = np.bincount(under[shown], minlength=len(self.totals) + 1)
                if gap and int(lost[1:].sum()) > 0:
                    continue
                if any(
                    seen - int(lost[k + 1]) < max(_MIN_VISIBLE_SHARE * whole, least)
                    for k, (seen, whole) in enumerate(zip(self.visible, self.totals, strict=True))
                ):
                    continue
            if cut and int(np.count_nonzero(solid[part])) < max(0.8 * total, least):
                continue
            around = np.array(cv2.mean(self.canvas[window])[:3], np.float32)
            if float(np.abs(around - typical).sum()) < (110 if number < 9 else 70):
                continue
            return x, y
        return None

    def place(
        self,
        rng: np.random.Generator,
        raster: Raster,
        plan: _Plan,
        *,
        radius: float,
        corner: tuple[int, int],
        light: float,
    ) -> None:
        """Paint the object over everything else."""
        if rng.random() < 0.7:
            cast_shadow(rng, self.canvas, raster, corner, light)
        surface = paint(rng, raster, plan.color, plan.pattern, radius=radius, light=light)
        window, part = clip_window(self.owner.shape, corner, raster.coverage.shape)
        view = self.canvas[window]
        view += raster.coverage[part][..., None] * (surface[part] - view)
        solid = raster.coverage[part] >= 0.5
        lost = np.bincount(self.owner[window][solid], minlength=len(self.totals) + 1)
        for k in range(len(self.totals)):
            self.visible[k] -= int(lost[k + 1])
        self.totals.append(int(np.count_nonzero(raster.coverage >= 0.5)))
        self.visible.append(int(np.count_nonzero(solid)))
        self.owner[window][solid] = len(self.totals)


def generate_scene(rng: np.random.Generator, config: SceneConfig = SceneConfig()) -> Scene:  # noqa: B008 - frozen
    """Draw one scene. The same state of ``rng`` and the same ``config`` give the same scene, byte for byte.

    There are at least ``min_objects`` objects unless that many find no room in eight tries, and never none. Other
    versions of OpenCV may draw a few pixels differently.
    """
    seed = _entropy(rng)
    height, width = config.shape
    style = _style(rng, config)
    for attempt in range(_MAX_ATTEMPTS):
        canvas = background(rng, height, width, busy=style.busy, photographs=config.photographs)
        if style.clutter:
            clutter(rng, canvas, int(rng.integers(style.clutter + 1)))
        board = _Board(canvas)
        plans = _populate(rng, board, style, config)
        if len(plans) >= (config.min_objects if attempt < 8 else 1):
            break
    else:
        raise RuntimeError(f"no object found room in {height} x {width} pixels")
    objects, facts = _describe(board, plans)
    expressions = Writer(rng, facts).write(config.max_expressions)
    image = camera(rng, canvas, style.degrade * config.degrade)
    return Scene(image, objects, expressions, seed)


def _entropy(rng: np.random.Generator) -> tuple[int, ...]:
    sequence = rng.bit_generator.seed_seq
    entropy = sequence.entropy if isinstance(sequence, np.random.SeedSequence) else None
    if entropy is None:
        return ()
    return (entropy,) if isinstance(entropy, int) else tuple(int(part) for part in entropy)


def _populate(rng: np.random.Generator, board: _Board, style: _Style, config: SceneConfig) -> list[_Plan]:
    """Plan, place and paint objects, larger ones first; returns the plans of those that found room."""
    spread = config.max_objects - config.min_objects
    num = config.min_objects + int(rng.binomial(spread, style.crowded)) if spread else config.min_objects
    planned: list[_Plan] = []
    for _ in range(num):
        planned.append(_plan_object(rng, style, planned))
    rank = {"large": 0, "medium": 1, "small": 2}
    planned.sort(key=lambda plan: rank[plan.size])
    light = float(rng.uniform(-np.pi, 0))
    placed: list[_Plan] = []
    for plan in planned:
        for _ in range(3):
            shaped = _shape(rng, plan, board.height, board.width)
            if shaped is None:
                continue
            raster, radius = shaped
            corner = board.find_corner(rng, raster, style, plan.color)
            if corner is not None:
                board.place(rng, raster, plan, radius=radius, corner=corner, light=light)
                placed.append(plan)
                break
    return placed


def _describe(board: _Board, plans: list[_Plan]) -> tuple[tuple[SceneObject, ...], list[Fact]]:
    """The finished objects, and the facts sentences are written about."""
    objects, facts = [], []
    width, height = board.width, board.height
    for index, plan in enumerate(plans):
        full = board.owner == index + 1
        x0, y0, w, h = cv2.boundingRect(full.view(np.uint8))
        crop = full[y0 : y0 + h, x0 : x0 + w]
        moments = cv2.moments(crop.view(np.uint8), binaryImage=True)
        cx, cy = moments["m10"] / moments["m00"] + 0.5 + x0, moments["m01"] / moments["m00"] + 0.5 + y0
        full.setflags(write=False)
        box = (x0, y0, x0 + w, y0 + h)
        objects.append(SceneObject(plan.category, plan.color, plan.pattern, plan.size, frozen_mask(full), box, index))
        facts.append(
            Fact(
                plan.category,
                plan.color,
                plan.pattern,
                plan.size,
                cx / width,
                cy / height,
                (x0 / width, y0 / height, (x0 + w) / width, (y0 + h) / height),
                moments["m00"] / (width * height),
                board.visible[index] >= _WHOLE_SHARE * board.totals[index],
            )
        )
    return tuple(objects), facts
