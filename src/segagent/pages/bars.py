"""Small bar charts as SVG text, beside the line charts of :mod:`segagent.pages.charts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 300, 48, 12, 30, 24
_BAR, _GAP, _LETTER = 26, 28, 7
_COLORS = ("#2456a6", "#b5541c", "#1b7f3b", "#7a3fa0")


@dataclass(frozen=True)
class Bar:
    """A bar up to ``value`` >= 0, and its interval where it is known."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Group:
    """Bars that stand together, one for each name of the chart's legend; None leaves a place empty."""

    label: str
    bars: tuple[Bar | None, ...]


def bar_chart(title: str, unit: str, legend: Sequence[str], groups: Sequence[Group]) -> str:
    """An ``<svg>`` element; "" without a bar. Group labels stand below, numbered as the groups. All text is escaped."""
    tops = [max(bar.value, bar.high or 0.0) for group in groups for bar in group.bars if bar is not None]
    if not tops:
        return ""
    top = max(tops) or 1.0
    inside = _HEIGHT - _TOP - _BOTTOM
    pitch = _BAR * len(legend) + _GAP
    longest = max(len(group.label) for group in groups)
    width = max(460, _LEFT + _RIGHT + max(pitch * len(groups), _LETTER * (longest + 4)))
    height = _HEIGHT + 16 * (len(legend) + len(groups)) + 8

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - value / top * inside

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{escape(title)}">',
        f'<text x="{_LEFT}" y="18" class="title">{escape(title)}</text>',
        f'<text x="{width - _RIGHT}" y="18" class="end">{escape(unit)}</text>',
    ]
    for step in range(5):
        y = down(top * step / 4)
        parts.append(
            f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{width - _RIGHT}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 5}" y="{y + 4:.1f}" class="end">{top * step / 4:.3g}</text>'
        )
    for place, group in enumerate(groups):
        left = _LEFT + _GAP // 2 + pitch * place
        for number, bar in enumerate(group.bars):
            if bar is not None:
                parts.append(_bar(left + _BAR * number, bar, down, _COLORS[number % len(_COLORS)]))
        middle = left + _BAR * len(legend) // 2
        parts.append(f'<text x="{middle}" y="{_HEIGHT - _BOTTOM + 16}" class="mid">{place + 1}</text>')
    for number, name in enumerate(legend):
        y = _HEIGHT + 16 * number + 8
        parts.append(
            f'<rect x="{_LEFT}" y="{y - 9}" width="12" height="9" fill="{_COLORS[number % len(_COLORS)]}"/>'
            f'<text x="{_LEFT + 18}" y="{y}">{escape(name)}</text>'
        )
    for place, group in enumerate(groups):
        y = _HEIGHT + 16 * (len(legend) + place) + 12
        parts.append(f'<text x="{_LEFT}" y="{y}">{place + 1}: {escape(group.label)}</text>')
    return "".join(parts) + "</svg>"


def _bar(left: float, bar: Bar, down: Callable[[float], float], color: str) -> str:
    y, base = down(bar.value), down(0.0)
    text = (
        f'<rect x="{left}" y="{y:.1f}" width="{_BAR - 4}" height="{base - y:.1f}" fill="{color}"/>'
        f'<text x="{left + _BAR / 2 - 2:.1f}" y="{base - 4:.1f}" class="mid" style="fill:#fff">{bar.value:.1f}</text>'
    )
    if bar.low is not None and bar.high is not None:
        x = left + _BAR / 2 - 2
        text += f'<line x1="{x:.1f}" y1="{down(bar.low):.1f}" x2="{x:.1f}" y2="{down(bar.high):.1f}" stroke="#333"/>'
    return text
