"""Cheap evidence about each pixel from the clicks: geodesic distance, colour likeness and a colour model.

Everything is computed on a square grid of half the view's side, for a whole batch of views at once (leading axis
``n``). Distances are geodesic: a path pays for its length and for the Lab colour changes it crosses. They are found
by raster scans in four directions, three neighbours each: vectorised over the row *and* over the batch, which in
Python costs far less per click than one shortest-path search each.

A new click only lowers distances, so the maps of earlier clicks are the start of the next update: the cost per step
is that of one click, however many came before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]

NUM_EVIDENCE = 11
"""Channels of :func:`evidence_channels`."""

_FAR = np.float32(4.0)
"""Distance of a place from a click that was never made; crossing an even view costs about 1."""
_UNLIKE = np.float32(100.0)
_ROUNDS = 2
_BINS = 16


@dataclass(frozen=True, eq=False)
class ViewEvidence:
    """What no click changes, for ``n`` views on a ``g`` x ``g`` grid. All arrays are read-only.

    ``lab``: float32 (n, g, g, 3), L in 0..100. ``costs``: for each scan direction (down, up, right, left) float32
    (g, 3, n, g): the price of coming to a place from its three neighbours in the row (column) before.
    ``border``: float32 (n, g, g), geodesic distance from the view's border. ``bins``: int32 (n, g * g), colour bins.
    """

    lab: Floats
    costs: tuple[Floats, Floats, Floats, Floats]
    border: Floats
    bins: npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class ClickEvidence:
    """What the clicks so far say: float32 (n, 2, g, g) each, index 0 positive and 1 negative clicks; read-only."""

    distance: Floats
    unlikeness: Floats


GridClick: TypeAlias = tuple[int, float, float, bool]
"""(index of the view, x, y, positive), x and y as fractions 0..1 of the view's width and height."""


def view_evidence(views: npt.NDArray[np.uint8]) -> ViewEvidence:
    """Evidence of views uint8 RGB (n, side, side, 3), ``side`` even, before any click."""
    grid = views.shape[1] // 2
    lab = np.empty((views.shape[0], grid, grid, 3), np.float32)
    for index, view in enumerate(views):
        small = cv2.resize(view, (grid, grid), interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(small, (3, 3), 0.7)
        lab[index] = cv2.cvtColor(smooth.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    costs = _scan_costs(lab)
    edge = np.full((lab.shape[0], grid, grid), _FAR, np.float32)
    edge[:, 0] = edge[:, -1] = edge[:, :, 0] = edge[:, :, -1] = 0.0
    levels = (lab * np.array((0.01, 1 / 160, 1 / 160), np.float32) + np.array((0, 0.5, 0.5), np.float32)) * _BINS
    cell = np.clip(levels, 0, _BINS - 1).astype(np.int32)
    bins = ((cell[..., 0] * _BINS + cell[..., 1]) * _BINS + cell[..., 2]).reshape(lab.shape[0], -1)
    evidence = ViewEvidence(lab, costs, _spread(edge, costs), bins)
    _freeze(evidence.lab, *evidence.costs, evidence.border, evidence.bins)
    return evidence


def no_clicks(num_views: int, grid: int) -> ClickEvidence:
    """The evidence of no click at all."""
    distance = np.full((num_views, 2, grid, grid), _FAR, np.float32)
    unlikeness = np.full((num_views, 2, grid, grid), _UNLIKE, np.float32)
    _freeze(distance, unlikeness)
    return ClickEvidence(distance, unlikeness)


def add_clicks(views: ViewEvidence, before: ClickEvidence, clicks: Sequence[GridClick]) -> ClickEvidence:
    """The evidence after more clicks, each on a view of its own choice; ``before`` is left as it is."""
    if not clicks:
        return before
    grid = views.lab.shape[1]
    distance, unlikeness = before.distance.copy(), before.unlikeness.copy()
    for index, x, y, positive in clicks:
        column, row = min(int(x * grid), grid - 1), min(int(y * grid), grid - 1)
        sign = 0 if positive else 1
        distance[index, sign, row, column] = 0.0
        around = views.lab[index, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        colour = np.median(around.reshape(-1, 3), axis=0)
        unlike = np.sqrt(((views.lab[index] - colour) ** 2).sum(axis=-1))
        np.minimum(unlikeness[index, sign], unlike, out=unlikeness[index, sign])
    touched = sorted({(index, 0 if positive else 1) for index, _, _, positive in clicks})
    rows, signs = [index for index, _ in touched], [sign for _, sign in touched]
    costs = views.costs if rows == list(range(views.lab.shape[0])) else _take(views.costs, rows)
    distance[rows, signs] = _spread(distance[rows, signs], costs)
    _freeze(distance, unlikeness)
    return ClickEvidence(distance, unlikeness)


def evidence_channels(views: ViewEvidence, clicks: ClickEvidence, previous: Floats) -> Floats:
    """What the network reads: float32 (n, NUM_EVIDENCE, g, g), all in [0, 1].

    ``previous``: mask probabilities before this step on the same grid, float32 (n, g, g).
    """
    near, far = clicks.distance[:, 0], clicks.distance[:, 1]
    against = np.minimum(far, views.border)
    like, unlike = clicks.unlikeness[:, 0], clicks.unlikeness[:, 1]
    channels = np.empty((near.shape[0], NUM_EVIDENCE, *near.shape[1:]), np.float32)
    channels[:, 0] = against / (near + against + 1e-3)
    channels[:, 1] = far / (near + far + 1e-3)
    channels[:, 2] = np.exp(near * -10.0)
    channels[:, 3] = np.exp(near * -2.5)
    channels[:, 4] = np.exp(far * -10.0)
    channels[:, 5] = np.exp(far * -2.5)
    channels[:, 6] = np.exp(views.border * -4.0)
    channels[:, 7] = np.exp(like * -0.08)
    channels[:, 8] = np.exp(unlike * -0.08)
    channels[:, 9] = unlike / (like + unlike + 1.0)
    channels[:, 10] = _colour_model(views, channels, previous)
    return channels


def _colour_model(views: ViewEvidence, channels: Floats, previous: Floats) -> Floats:
    """How much likelier each colour is inside than outside, (n, g, g) in [0, 1], as grabCut's colour models say.

    Histograms stand in for its Gaussian mixtures: inside counts what the previous mask and the near surroundings of
    the positive clicks hold, outside the rest.
    """
    num, grid = previous.shape[0], previous.shape[1]
    inside = 0.5 * previous + channels[:, 2]
    outside = (1 - previous) * (1 - channels[:, 3]) + channels[:, 4]
    size = _BINS**3
    places = (views.bins + np.arange(num, dtype=np.int32)[:, None] * size).ravel()
    tables = [
        np.bincount(places, weights.ravel().astype(np.float64), num * size)
        .astype(np.float64)
        .reshape(num, _BINS, _BINS, _BINS)
        for weights in (inside, outside)
    ]
    likelihoods = []
    for table in tables:
        smooth: npt.NDArray[np.float64] = table
        for axis in (1, 2, 3):
            smooth = _blur(smooth, axis)
        likelihoods.append(smooth / np.maximum(smooth.sum(axis=(1, 2, 3), keepdims=True), 1e-6))
    ratio = likelihoods[0] / (likelihoods[0] + likelihoods[1] + 1e-6)
    result: Floats = ratio.ravel()[places].reshape(num, grid, grid).astype(np.float32)
    return result


def _blur(table: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    moved = np.moveaxis(table, axis, 0)
    blurred = moved * 0.5
    blurred[1:] += moved[:-1] * 0.25
    blurred[:-1] += moved[1:] * 0.25
    return np.moveaxis(blurred, 0, axis)


def _scan_costs(lab: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Prices of the moves of the four scans, each (g, 3, n, g); see :class:`ViewEvidence`."""
    rows = np.ascontiguousarray(lab.transpose(1, 0, 2, 3))  # (row, n, column, 3)
    columns = np.ascontiguousarray(lab.transpose(2, 0, 1, 3))  # (column, n, row, 3)
    return _down(rows), _down(rows[::-1]), _down(columns), _down(columns[::-1])


def _down(lines: Floats) -> Floats:
    """Prices (g, 3, n, g) of reaching line ``i`` from line ``i - 1`` at places x - 1, x and x + 1."""
    grid, num = lines.shape[0], lines.shape[1]
    prices = np.full((grid, 3, num, grid), _FAR, np.float32)
    for neighbour, (here, there) in enumerate(
        ((slice(1, None), slice(None, -1)), (slice(None), slice(None)), (slice(None, -1), slice(1, None)))
    ):
        step = np.sqrt(((lines[1:, :, here] - lines[:-1, :, there]) ** 2).sum(axis=-1))
        # Small changes are noise or texture that adds up over a path; squaring them keeps walls, not grain.
        wall = step * step / (step + 8.0)
        length = 1.0 if neighbour == 1 else 1.4142
        prices[1:, neighbour, :, here] = length * 0.6 / grid + wall * (length * 0.02)
    return prices


def _spread(distance: Floats, costs: tuple[Floats, Floats, Floats, Floats]) -> Floats:
    """Geodesic distances (n, g, g) from a start that is 0 at the sources and an upper bound elsewhere."""
    num, grid = distance.shape[0], distance.shape[1]
    line = np.full((num, grid + 2), _FAR, np.float32)
    around: Floats = np.lib.stride_tricks.sliding_window_view(line, grid, axis=1).transpose(1, 0, 2)
    sums = np.empty((3, num, grid), np.float32)
    best = np.empty((num, grid), np.float32)

    def scan(lines: npt.NDArray[Any], prices: Floats) -> None:
        for i in range(1, grid):
            line[:, 1:-1] = lines[i - 1]
            np.add(around, prices[i], out=sums)
            np.min(sums, axis=0, out=best)
            np.minimum(lines[i], best, out=lines[i])

    by_row = np.ascontiguousarray(distance.transpose(1, 0, 2))
    for _ in range(_ROUNDS):
        scan(by_row, costs[0])
        scan(by_row[::-1], costs[1])
        by_column = np.ascontiguousarray(by_row.transpose(2, 1, 0))
        scan(by_column, costs[2])
        scan(by_column[::-1], costs[3])
        by_row = np.ascontiguousarray(by_column.transpose(2, 1, 0))
    return np.ascontiguousarray(by_row.transpose(1, 0, 2))


def _take(costs: tuple[Floats, ...], rows: list[int]) -> tuple[Floats, Floats, Floats, Floats]:
    down, up, right, left = (np.ascontiguousarray(cost[:, :, rows]) for cost in costs)
    return down, up, right, left


def _freeze(*arrays: npt.NDArray[Any]) -> None:
    for array in arrays:
        array.setflags(write=False)
