"""Small line charts as SVG text: they need no package, open anywhere and are the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 30, 40
_COLORS = ("#1b7f3b", "#2456a6", "#b5541c", "#7a3fa0", "#8a8a8a", "#a01c3f")


@dataclass(frozen=True)
class Series:
    """A line through ``points`` (x, y), and a band ``low``..``high`` at the same x where it is known."""

    label: str
    points: tuple[tuple[float, float], ...]
    band: tuple[tuple[float, float], ...] = ()


def line_chart(
    title: str, axes: tuple[str, str], series: Sequence[Series], *, diagonal: bool = False, y_from_zero: bool = False
) -> str:
    """An ``<svg>`` element with all ``series``; "" without a point. All text is escaped."""
    xs = [x for one in series for x, _ in one.points]
    ys = [y for one in series for _, y in one.points] + [y for one in series for band in one.band for y in band]
    if not xs:
        return ""
    if diagonal:
        xs, ys = [0.0, 1.0], [0.0, 1.0]
    if y_from_zero:
        ys.append(0.0)
    x_low, x_high = min(xs), max(xs)
    y_low, y_high = min(ys), max(ys)
    x_span, y_span = (x_high - x_low) or 1.0, (y_high - y_low) or 1.0

    def at(x: float, y: float) -> str:
        across = _LEFT + (x - x_low) / x_span * (_WIDTH - _LEFT - _RIGHT)
        down = _HEIGHT - _BOTTOM - (y - y_low) / y_span * (_HEIGHT - _TOP - _BOTTOM)
        return f"{across:.1f},{down:.1f}"

    height = _HEIGHT + 16 * len(series)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" role="img" '
        f'aria-label="{escape(title)}">',
        f'<text x="{_LEFT}" y="18" class="title">{escape(title)}</text>',
    ]
    for step in range(5):
        x, y = x_low + x_span * step / 4, y_low + y_span * step / 4
        left, low = at(x_low, y).split(","), at(x, y_low).split(",")
        parts.append(
            f'<line x1="{left[0]}" y1="{left[1]}" x2="{_WIDTH - _RIGHT}" y2="{left[1]}" class="grid"/>'
            f'<text x="{_LEFT - 5}" y="{float(left[1]) + 4:.1f}" class="end">{y:.3g}</text>'
            f'<text x="{low[0]}" y="{_HEIGHT - _BOTTOM + 15}" class="mid">{x:.3g}</text>'
        )
    parts.append(f'<text x="{(_LEFT + _WIDTH) // 2}" y="{_HEIGHT - 8}" class="mid">{escape(axes[0])}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="18" class="end">{escape(axes[1])}</text>')
    if diagonal:
        start, stop = at(0, 0).split(","), at(1, 1).split(",")
        parts.append(f'<line x1="{start[0]}" y1="{start[1]}" x2="{stop[0]}" y2="{stop[1]}" class="diagonal"/>')
    for number, one in enumerate(series):
        color = _COLORS[number % len(_COLORS)]
        places = [x for x, _ in one.points]
        if one.band:
            upper = [at(x, high) for x, (_, high) in zip(places, one.band, strict=True)]
            lower = [at(x, low) for x, (low, _) in zip(places, one.band, strict=True)]
            parts.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{color}" opacity="0.15"/>')
        line = " ".join(at(x, y) for x, y in one.points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        for x, y in one.points:
            across, down = at(x, y).split(",")
            parts.append(f'<circle cx="{across}" cy="{down}" r="2.5" fill="{color}"/>')
        y = _HEIGHT + 16 * number + 6
        parts.append(f'<rect x="{_LEFT}" y="{y - 8}" width="12" height="4" fill="{color}"/>')
        parts.append(f'<text x="{_LEFT + 18}" y="{y}">{escape(one.label)}</text>')
    return "".join(parts) + "</svg>"
