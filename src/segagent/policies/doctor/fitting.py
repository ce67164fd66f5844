"""Which coordinate convention explains the points that a model wrote for places that are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from segagent.policies.chat import FORMATS, Fixed, Keep, Multiples, Resize, Space, Within
from segagent.policies.chat.reading import WrittenPoint
from segagent.policies.doctor.pictures import KnownObject

GOOD = 0.03
"""Median error, as a share of the picture's diagonal, up to which a convention is taken to fit."""
CAP = 0.15
MIN_ANSWERS = 6


@dataclass(frozen=True, slots=True)
class Convention:
    """A coordinate space with the resizing rule that gives pixels their meaning."""

    space: Space
    resize: Resize
    words: str


@dataclass(frozen=True, slots=True)
class Fit:
    """How a convention explains the answers: errors as shares of the diagonal, and in pixels of the originals.

    ``score``: the mean error, each counted as at most :data:`CAP`. Conventions are compared by it and not by the
    median, as many agree on most pictures and differ on the large ones only.
    """

    convention: Convention
    median_error: float
    worst_error: float
    median_pixels: float
    score: float


_RULES: tuple[tuple[str, Resize], ...] = (
    ("pixels of the picture as sent", Keep()),
    ("pixels after rounding to multiples of 28 (Qwen2.5-VL)", Multiples()),
    ("pixels after rounding to multiples of 28, at most 1280 tokens", Multiples(28, 56 * 56, 1280 * 28 * 28)),
    ("pixels after rounding to multiples of 32", Multiples(32, 65536, 16777216)),
    ("pixels after shrinking to 1568 (Claude)", FORMATS["claude"].resize),
    ("pixels after shrinking to 2048 and 768 (GPT)", FORMATS["gpt"].resize),
    ("pixels after shrinking to 1024", Within(1024)),
    *((f"pixels of a {side} x {side} picture", Fixed(side, side)) for side in (224, 336, 384, 448, 512, 672, 768)),
)


def conventions(current: Convention) -> list[Convention]:
    """All that are tried, the one in use first, so that it wins where several fit alike."""
    made = [current]
    for axes in ("xy", "yx"):
        order = "x before y" if axes == "xy" else "y before x"
        made += [
            Convention(Space(1, axes, decimals=3, closed=True), Keep(), f"shares of the sides, {order}"),
            Convention(Space(100, axes, decimals=1, closed=True), Keep(), f"percent of the sides, {order}"),
            Convention(Space(1000, axes, closed=True), Keep(), f"thousandths of the sides, {order}"),
        ]
        made += [Convention(Space(None, axes), rule, f"{words}, {order}") for words, rule in _RULES]
    return made


def best_fit(
    pairs: Sequence[WrittenPoint], targets: Sequence[KnownObject], current: Convention
) -> tuple[Fit | None, str]:
    """``(fit, reason)``: the convention that explains the answers, or None and why there is none."""
    if len(pairs) < MIN_ANSWERS:
        return None, f"only {len(pairs)} readable points; {MIN_ANSWERS} are needed to fit a convention"
    fits = [measure(pairs, targets, one) for one in conventions(current)]
    best = min(fits, key=lambda fit: fit.score)
    if fits[0].score <= max(best.score * 1.1, 0.004):
        best = fits[0]
    if best.median_error <= GOOD:
        # What is left may still be a constant shift; take it out where that explains nearly all of it.
        shifted = _with_offset(pairs, targets, best.convention)
        if best.median_error > 0.008 and shifted.median_error < best.median_error / 3:
            return shifted, ""
        return best, ""
    tried = [_with_offset(pairs, targets, fit.convention) for fit in sorted(fits, key=lambda f: f.score)]
    tried.append(measure(pairs, targets, _any_scale(pairs, targets, "xy")))
    tried.append(measure(pairs, targets, _any_scale(pairs, targets, "yx")))
    best = min(tried, key=lambda fit: fit.score)
    if best.median_error <= GOOD / 2 and best.worst_error <= 4 * GOOD:
        return best, ""
    return None, (
        "the points bear no fixed relation to where the disc is: with the best convention half of them are off by more "
        f"than {best.median_error:.0%} of the picture's diagonal"
    )


def measure(pairs: Sequence[WrittenPoint], targets: Sequence[KnownObject], convention: Convention) -> Fit:
    """How far the points are from the discs if read by ``convention``."""
    errors, pixels = [], []
    for (x, y), target in zip(_places(pairs, targets, convention), targets, strict=True):
        distance = float(np.hypot(x - target.x - 0.5, y - target.y - 0.5))
        pixels.append(distance)
        errors.append(distance / target.diagonal)
    score = float(np.minimum(errors, CAP).mean())
    return Fit(convention, float(np.median(errors)), float(np.quantile(errors, 0.9)), float(np.median(pixels)), score)


def _places(
    pairs: Sequence[WrittenPoint], targets: Sequence[KnownObject], convention: Convention
) -> list[tuple[float, float]]:
    """The points in original pixels, not rounded and whether or not they are inside."""
    places = []
    for (x, y), (scale_x, scale_y) in zip(_ordered(pairs, convention), _scales(targets, convention), strict=True):
        offset = convention.space.offset
        places.append(((x - offset[0]) / scale_x, (y - offset[1]) / scale_y))
    return places


def _ordered(pairs: Sequence[WrittenPoint], convention: Convention) -> list[tuple[float, float]]:
    swap = convention.space.axes == "yx"
    return [
        (pair.second.value, pair.first.value) if swap and not pair.named else (pair.first.value, pair.second.value)
        for pair in pairs
    ]


def _scales(targets: Sequence[KnownObject], convention: Convention) -> list[tuple[float, float]]:
    """Written units per original pixel, (x, y)."""
    scales = []
    for target in targets:
        height, width = target.image.height, target.image.width
        scale = convention.space.scale
        rows, columns = convention.resize.shown((height, width)) if scale is None else (scale, scale)
        scales.append((columns / width, rows / height))
    return scales


def _with_offset(pairs: Sequence[WrittenPoint], targets: Sequence[KnownObject], convention: Convention) -> Fit:
    """The convention with the constant shift, in its own units, that fits best."""
    space = replace(convention.space, offset=(0.0, 0.0))
    plain = replace(convention, space=space)
    scales, written = _scales(targets, plain), _ordered(pairs, plain)
    digits = max(1, space.decimals)
    dx = np.median([x - (t.x + 0.5) * s[0] for (x, _), t, s in zip(written, targets, scales, strict=True)])
    dy = np.median([y - (t.y + 0.5) * s[1] for (_, y), t, s in zip(written, targets, scales, strict=True)])
    offset = round(float(dx), digits), round(float(dy), digits)
    words = f"{plain.words}, shifted by ({offset[0]:g}, {offset[1]:g})"
    return measure(pairs, targets, Convention(replace(space, offset=offset), convention.resize, words))


def _any_scale(pairs: Sequence[WrittenPoint], targets: Sequence[KnownObject], axes: str) -> Convention:
    """A relative space whose far end is whatever fits best."""
    order = "x before y" if axes == "xy" else "y before x"
    unit = Convention(Space(1, "yx" if axes == "yx" else "xy"), Keep(), "")
    ratios = []
    for (x, y), target in zip(_ordered(pairs, unit), targets, strict=True):
        ratios += [x * target.image.width / (target.x + 0.5), y * target.image.height / (target.y + 0.5)]
    scale = max(1e-3, float(np.median(ratios)))
    decimals = 0 if scale >= 50 else 3
    scale = round(scale) if scale >= 50 else round(scale, 3)
    return Convention(Space(scale, unit.space.axes, decimals, closed=True), Keep(), f"sides of {scale:g}, {order}")
